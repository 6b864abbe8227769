"""Every value in conf/ has a rule, every rule refuses what is out of its range."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from copycat.config.added_keys import ADDED_KEYS
from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.places import CONF
from copycat.config.rules import METRICS, NAMED_TARGET_GROUPS, RULES, TARGET_GROUPS, find_rule
from copycat.config.validation import check_config
from copycat.models import metrics

GROUPS = (*TARGET_GROUPS, *NAMED_TARGET_GROUPS)


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif not name.endswith("_") and name != "defaults":
            yield f"{prefix}{name}", value


def _packaged() -> Iterator[tuple[Path, str, Any]]:
    for file in sorted(CONF.rglob("*.yaml")):
        node = OmegaConf.to_container(OmegaConf.load(file))
        assert isinstance(node, dict)
        node.pop("hydra", None)
        prefix = "".join(f"{part}." for part in file.parent.relative_to(CONF).parts)
        for key, value in _leaves({str(k): v for k, v in node.items()}, prefix):
            yield file, key, value


PACKAGED = list(_packaged())


def test_the_packaged_options_were_found() -> None:
    assert {file.parent.name for file, _, _ in PACKAGED} >= {"optimizer", "model", "trainer", "callbacks", "logger"}


@pytest.mark.parametrize("key", sorted({k for _, k, v in PACKAGED if isinstance(v, (bool, int, float)) or v is None}))
def test_every_number_switch_and_open_value_in_conf_has_a_rule(key: str) -> None:
    assert find_rule(key) is not None


@pytest.mark.parametrize("key", sorted({key for _, key, _ in PACKAGED if find_rule(key)}))
def test_every_rule_refuses_a_word_that_is_none_of_its_values(key: str) -> None:
    rule = find_rule(key)
    assert rule is not None
    if rule.words.startswith(("a non-empty string", "a name of")):
        assert not rule.allows(5)
    else:
        assert not rule.allows("banana")
    assert rule.allows({"a": 1}) == (key == "lr_multipliers")


@pytest.mark.parametrize("key", sorted({k for _, k, v in PACKAGED if isinstance(v, (int, float)) and find_rule(k)}))
def test_no_rule_for_a_number_takes_what_is_none_or_infinite(key: str) -> None:
    rule = find_rule(key)
    assert rule is not None
    for value in (float("nan"), float("inf"), float("-inf"), "1", [1, "a"]):
        assert not rule.allows(value)


@pytest.mark.parametrize(("key", "value"), [(k, v) for _, k, v in PACKAGED if not str(v).startswith(("${", "???"))])
def test_every_packaged_value_is_allowed_by_its_rule(key: str, value: Any) -> None:
    rule = find_rule(key)
    assert rule is None or rule.allows(value)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("seed", [0, 2**32 - 1], [-1, 2**32, 1.0, True, None]),
        ("trainer.max_epochs", [1], [0, -1, 2.5, None]),
        ("data.batch_size", [1, None], [0, -8, 8.0, False]),
        ("optimizer.lr", [1e-300, 1], [0, -1e-3, None, True]),
        ("optimizer.momentum", [0, 0.999], [1, 2, -0.1]),
        ("optimizer.betas", [[0.0, 0.5]], [[0.5], [0.5, 1.0], 0.5, [0.1, 0.2, 0.3]]),
        ("optimizer.etas", [[0.5, 1.2]], [[1.2, 0.5], [0.5], [0, 2]]),
        ("optimizer.step_sizes", [[1e-6, 50]], [[50, 1e-6], [0, 1]]),
        ("data.holdout", [0.01, 0.99], [0, 1, -0.2]),
        ("data.folds", [2], [1, 0, None]),
        ("data.workers", [0], [-1, 1.5]),
        ("model.hidden", [[], [1]], [[0], [2.5], 13, "13", None]),
        ("model.dropout", [0, 0.5], [1, -0.1]),
        ("augmentation.flip", [0, 1, 0.5], [-0.1, 1.1, None, True]),
        ("augmentation.shift", [0, 4, 8192], [-1, 2.5, 8193, None]),
        ("augmentation.base.flip", [0, 1], [1.1, None]),
        ("augmentation.alpha", [0.01, 1], [0, -1, 1001, None]),
        ("augmentation.magnitude", [0, 9, 30], [-1, 31, None]),
        ("trainer.limit_train_batches", [1, 100, 0.5, 1.0], [0, 0.0, -1, 1.5]),
        ("trainer.threads", [1, None], [0, -1]),
        ("trainer.devices", [1, 2, "auto", [0], [0, 1]], [0, 257, "all", [-1], []]),
        ("trainer.num_nodes", [None, 1, 2], [0, "auto"]),
        ("trainer.strategy", ["ddp", "fsdp"], ["auto", "ddp_spawn"]),
        ("trainer.timeout", [5, "60s", "10m"], [None, 0, "soon"]),
        ("trainer.deterministic", [True, "warn"], ["yes", 1]),
        ("loss.class_weights", [None, [1.0, 2.0], "balanced"], [[0, 1], 2.0, [], "equal"]),
        ("loss.gamma", [0, 0.5, 2], [-1, None]),
        ("data.sampler", [None, "balanced"], [True, "random"]),
        ("data.cat_share", [None, 0.1], [0, 1]),
        ("loss.label_smoothing", [0, 0.1, 0.999], [1, -0.1, None, True]),
        ("callbacks.mine.monitor", ["val/loss", None], ["test/accuracy", "loss", 3]),
        ("callbacks.mine.mode", ["min"], ["least"]),
        ("model._target_", ["a.b", "torch.nn.ReLU"], ["ReLU", "", 5, None, "a..b", "a.b; c"]),
    ],
)
def test_a_rule_takes_its_range_and_nothing_beside_it(key: str, good: list[Any], bad: list[Any]) -> None:
    rule = find_rule(key)
    assert rule is not None
    assert [value for value in good if not rule.allows(value)] == []
    assert [value for value in bad if rule.allows(value)] == []


def test_the_figures_that_may_be_watched_are_those_that_are_measured() -> None:
    assert set(METRICS) == {"loss", *metrics.SCORE_NAMES}


def test_every_top_key_of_the_default_is_known_and_needed_unless_older_runs_lack_it() -> None:
    config = dict(compose().config)
    assert set(config) == {*GROUPS, *(key for key in RULES if "." not in key)}
    check_config({name: value for name, value in config.items() if name not in ADDED_KEYS})
    for key in config.keys() - ADDED_KEYS:
        with pytest.raises(UserError, match=f"^{key}: expected"):
            check_config({name: value for name, value in config.items() if name != key})


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["optimizer=sparse_adam"], "expected a model with sparse gradients; got dense"),
        (["model=bag_of_colors", "optimizer=adam"], "expected dense gradients; got sparse"),
        (["model=bag_of_colors", "optimizer=momentum"], "no momentum"),
        (["model=bag_of_colors", "optimizer=sparse_adam", "trainer.gradient_clip_val=1.0"], "expected dense gradients"),
        (["optimizer=lbfgs", "trainer.accumulate_grad_batches=2"], "accumulate_grad_batches=1"),
        (["optimizer=lbfgs", "trainer=fsdp"], "optimizer=lbfgs: expected whole weights"),
        (["optimizer=rprop", "trainer=fsdp"], "optimizer=rprop: expected whole weights"),
        (["model=bag_of_colors", "optimizer=sparse_adam", "trainer=fsdp"], "model.sparse: expected dense"),
        (["optimizer.nesterov=true"], "expected momentum > 0"),
        (["optimizer=nesterov", "optimizer.dampening=0.1"], "dampening 0"),
        (["scheduler=plateau", "scheduler.factor=1.0"], "below 1"),
        (["loss=bce", "model.out_features=3"], "loss=cross_entropy"),
        (["loss=bce_with_logits", "model.out_features=3"], "loss=cross_entropy"),
        (["loss=cross_entropy", "model.out_features=1"], "loss=bce"),
        (["data.fold=5", "data.folds=5"], r"data\.fold: expected a whole number from 0 to 4; got 5"),
        (["data.split=folds"], "from 0 to 4; got null"),
        (["data.split=holdout", "data.fold=1"], "data.split=folds"),
        (["data=folder", "data.root=/x", "model.in_features=5"], r"model\.in_features: expected 12288, .* got 5"),
        (["data=folder", "data.root=/x", "model=cnn", "model.image_shape=[3,32,32]"], r"expected \[3,64,64\]"),
        (["data=folder", "data.root=/x", "model=cnn", "data.image_size=4"], "at least 8 pixels for 3 poolings; got 4"),
    ],
)
def test_what_cannot_work_together_is_refused(words: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        compose(words)


@pytest.mark.parametrize("option", sorted(file.stem for file in (CONF / "optimizer").glob("*.yaml")))
def test_every_optimizer_composes_with_a_network_for_it(option: str) -> None:
    model = "bag_of_colors" if option == "sparse_adam" else "shallow"
    assert compose([f"optimizer={option}", f"model={model}"]).config["optimizer"]["lr"] > 0


def test_a_class_of_ones_own_gives_its_keys_a_meaning_of_its_own() -> None:
    words = ["optimizer=adam", "optimizer._target_=mine.AdEMAMix", "optimizer.betas=[0.9,0.999,0.9999]"]
    assert compose(words).config["optimizer"]["betas"] == [0.9, 0.999, 0.9999]
    words = [
        "+callbacks.mine={_target_: mine.Watch, mode: fast, steps: 0.5}",
        "+logger.mine={_target_: mine.Log, mode: 3}",
    ]
    config = compose(words).config
    assert config["callbacks"]["mine"] == {"_target_": "mine.Watch", "mode": "fast", "steps": 0.5}
    assert config["logger"]["mine"]["mode"] == 3
    with pytest.raises(UserError, match=r"optimizer\.lr: expected a number > 0"):
        compose([*words, "optimizer.lr=-1"])
