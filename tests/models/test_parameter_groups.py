"""Layers that learn faster or slower than others, or not at all, and parameters without weight decay."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.places import CONF
from copycat.config.validation import check_config
from copycat.models.parameter_groups import group_parameters
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.training.components import RunComponents, build_components
from copycat.training.train import RunResult
from tests.support.runs import QUIET, compose_quickly, train_tiny

NETWORK = ("model=shallow", "model.hidden=[3]")
OPTIMIZERS = sorted({file.stem for file in (CONF / "optimizer").glob("*.yaml")} - {"lbfgs", "sparse_adam"})


def compose_parts(*words: str) -> RunComponents:
    return build_components(compose_quickly([*NETWORK, "data.train=16", "data.val=8", *words]).config)


def load_final_weights(outcome: RunResult) -> Mapping[str, Tensor]:
    assert outcome.status == "completed"
    return load_file(outcome.folder / "weights.safetensors")


def test_a_layer_moves_by_its_share_of_the_rate_and_one_of_none_stays(tiny: Path, tmp_path: Path) -> None:
    words = (*NETWORK, "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_epochs=1", *QUIET)
    start = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *words]).config)
    before = {name: p.detach().clone() for name, p in start.classifier.network.named_parameters()}
    plain = load_final_weights(train_tiny(*words, data=tiny, at=tmp_path))
    rates = "lr_multipliers={layers.0.weight:0.25,layers.0.*:0}"
    found = load_final_weights(train_tiny(*words, rates, data=tiny, at=tmp_path))
    moved = {name: found[name] - before[name] for name in before}
    full = {name: plain[name] - before[name] for name in before}
    torch.testing.assert_close(moved["layers.0.weight"], 0.25 * full["layers.0.weight"], atol=1e-7, rtol=1e-4)
    assert torch.equal(found["layers.0.bias"], before["layers.0.bias"])
    assert torch.equal(found["layers.2.weight"], plain["layers.2.weight"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_takes_them_even_where_no_layer_has_the_base_rate(optimizer: str) -> None:
    built = compose_parts(f"optimizer={optimizer}", "lr_multipliers={layers.0.*:0.5,*:2}", "scheduler=warmup")
    made: Any = built.classifier.configure_optimizers()
    built.classifier.network(torch.rand(4, 3, 64, 64)).sum().backward()
    groups = made["optimizer"].param_groups
    for _ in range(3):
        rates = [group["lr"] for group in groups]  # the first is what TensorBoard shows
        assert rates[1:] == pytest.approx([rates[0] / 2, rates[0] * 2])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()


DECAY = ("optimizer=adamw", "optimizer.lr=0.01", "optimizer.weight_decay=0.5", "decay_bias_and_norm=false")


def test_biases_and_normalization_layers_are_exempt_from_weight_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    groups = group_parameters(network, {"3.*": 0.1}, decays_all=False)
    assert [factor for factor, _ in groups] == [1.0, 1.0, 0.1, 0.1]
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    found = [(sorted(named[id(p)] for p in group["params"]), group.get("weight_decay")) for _, group in groups]
    exempt = (["0.bias", "1.bias", "1.weight"], 0.0), (["3.bias"], 0.0)
    assert found == [(["0.weight"], None), exempt[0], (["3.weight"], None), exempt[1]]


def test_a_run_has_the_weights_of_torch_s_own_groups(tiny: Path, tmp_path: Path) -> None:
    words = (*NETWORK, "trainer.max_epochs=3", *QUIET, *DECAY)
    made = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *words]).config)
    network, part = made.classifier.network, made.data.parts["train"]
    weights, biases = ([p for p in network.parameters() if (p.ndim > 1) == many] for many in (True, False))
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, 0.01, weight_decay=0.5)
    images = torch.stack([part.images[place] for place in range(len(part))]).float() / 255
    for _ in range(3):
        optimizer.zero_grad()
        made.classifier.loss(network(images), part.labels).backward()
        optimizer.step()
    found = load_final_weights(train_tiny(*words, data=tiny, at=tmp_path))
    torch.testing.assert_close(dict(found), network.state_dict())
    decayed = load_final_weights(train_tiny(*words, "decay_bias_and_norm=true", data=tiny, at=tmp_path))
    assert not torch.equal(found["layers.0.bias"], decayed["layers.0.bias"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr_multipliers={layer.0.*:0.1}"], r"'layer.0.\*' fits none. Did you mean 'layers.0.\*'\?$"),
        (["lr_multipliers={layers.*:0.1,layers.2.*:1}"], r"'layers.2.\*' fits only what patterns before it fit"),
        (["lr_multipliers={*:0}"], r"expected a factor > 0 for some parameter"),
        (["lr_multipliers={layers.0.*:-1}"], r"^lr_multipliers.layers.0.\*: expected a number ≥ 0; got -1"),
        (["lr_multipliers=0.1"], r"^lr_multipliers: expected patterns with a factor each"),
        (["lr_multipliers={layers.0.*:0.1}", "optimizer=lbfgs"], r"expected an optimizer with groups .*; got LBFGS"),
        (
            ["decay_bias_and_norm=false", "optimizer=rprop"],
            r"^decay_bias_and_norm=false: expected optimizer.weight",
        ),
        (["decay_bias_and_norm=no norms"], r"^decay_bias_and_norm: expected true or false; got 'no norms'"),
        (["lr_multipliers={layers.0.*:0.1}", "~optimizer.lr"], r"^lr_multipliers: expected optimizer.lr; got SGD"),
    ],
)
def test_a_mistake_is_named_before_training(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose_parts(*words)


def test_a_run_that_was_recorded_before_there_were_any_is_still_read() -> None:
    config = dict(compose_quickly([*NETWORK, "data.train=16", "data.val=8"]).config)
    del config["lr_multipliers"], config["decay_bias_and_norm"]
    check_config(config)
    assert len(build_components(config).classifier.create_optimizer().param_groups) == 1


@pytest.mark.parametrize("words", [["lr_multipliers={layers.0.*:0.1}"], [*DECAY]])
def test_trials_with_groups_are_not_packed(words: list[str]) -> None:
    assert words[-1].partition("=")[0] in str(why_not_packable(compose([*NETWORK, *words]).config))
