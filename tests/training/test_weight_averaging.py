"""Averages of weights: what they are, and who goes by them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_recorded
from copycat.reruns.rerun import rerun
from copycat.sweeps.packed.eligibility import why_not_packable
from copycat.training.components import build_components
from copycat.training.train import RunResult
from tests.support.runs import compose_quickly, train_tiny

EPOCHS = 4


class BatchNormNetwork(nn.Module):
    """Two layers with BatchNorm between them."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(in_features, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, out_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


class ComplexNetwork(nn.Module):
    """A linear layer, each of whose outputs is multiplied by a complex weight."""

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)
        self.response = nn.Parameter(torch.ones(out_features, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = (self.layer(x.flatten(1)) * self.response).abs()
        return logits


WORDS = (
    *(
        f"model._target_={__name__}.BatchNormNetwork",
        "~model.style",
        "~model.hidden",
        "~model.activation",
        "data.batch_size=8",
        "data.shuffle=false",  # as the loop by hand
    ),
    *("optimizer=adam", "optimizer.lr=0.01", f"trainer.max_epochs={EPOCHS}", "logger=none"),
)
EMA = ("callbacks=[default,ema]", "callbacks.ema.decay=0.8", "callbacks.ema.start_epoch=1")
SWA = ("callbacks=[default,swa]", "callbacks.swa.start=0.5")


@pytest.fixture(scope="module")
def states(tiny: Path) -> list[dict[str, Tensor]]:
    """The network after each step of a loop by hand, two an epoch."""
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *WORDS]).config)
    network, optimizer = parts.classifier.network.train(), parts.classifier.create_optimizer()
    found = []
    for _ in range(EPOCHS):
        for batch in parts.data.loader("train"):
            optimizer.zero_grad()
            parts.classifier.loss(network(batch["image"]), batch["label"]).backward()
            optimizer.step()
            found.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    return found


def moving_average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    average = states[2]
    for state in states[3:]:
        average = {name: 0.8 * held + 0.2 * state[name] for name, held in average.items()}
    return average


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: (states[5][name] + states[7][name]) / 2 for name in states[7]}


def in_file(path: Path) -> dict[str, Tensor]:
    held = torch.load(path, weights_only=True)["state_dict"]
    return {name.removeprefix("network."): tensor for name, tensor in held.items() if name.startswith("network.")}


def train_completed(*words: str, tiny: Path, at: Path) -> RunResult:
    outcome = train_tiny(*WORDS, *words, data=tiny, at=at)
    assert outcome.status == "completed"
    return outcome


@pytest.mark.parametrize(("words", "by_hand"), [(EMA, moving_average), (SWA, average_weights)])
def test_the_average_is_validated_evaluated_and_saved_but_not_trained_on(
    words: tuple[str, ...], by_hand: Any, states: list[dict[str, Tensor]], tiny: Path, tmp_path: Path
) -> None:
    plain, averaged = train_completed(tiny=tiny, at=tmp_path), train_completed(*words, tiny=tiny, at=tmp_path)
    rows, others = read_history(plain.folder), read_history(averaged.folder)
    assert [row["train/loss"] for row in rows] == [row["train/loss"] for row in others]
    assert rows[0] == others[0]  # before it begins
    assert rows[-1]["val/loss"] != others[-1]["val/loss"]
    assert averaged.manifest["results"]["final"]["val/loss"] == pytest.approx(others[-1]["val/loss"], rel=1e-5)
    weights = load_file(averaged.folder / "weights.safetensors")
    for name, expected in by_hand(states).items():
        if name.endswith("num_batches_tracked"):
            continue
        torch.testing.assert_close(weights[name], expected, atol=1e-6, rtol=1e-5)
        assert torch.equal(weights[name], in_file(averaged.folder / "checkpoints" / "last.ckpt")[name])
    assert "one by one" not in (averaged.folder / "train.log").read_text()  # steps are still taken at once


def test_best_ckpt_holds_the_weights_that_were_validated(tiny: Path, tmp_path: Path) -> None:
    outcome = train_completed(
        *EMA, "callbacks.best.monitor=val/auroc", "callbacks.best.mode=max", tiny=tiny, at=tmp_path
    )
    epoch = outcome.manifest["results"]["best"]["epoch"]
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *WORDS]).config)
    parts.classifier.network.load_state_dict(in_file(outcome.folder / "checkpoints" / "best.ckpt"))
    found, _ = parts.classifier.measure("val", parts.data.loader("val"))
    assert found["val/loss"] == pytest.approx(read_history(outcome.folder)[epoch]["val/loss"], rel=1e-5)


def test_frozen_parameters_are_not_averaged(tiny: Path, tmp_path: Path) -> None:
    outcome = train_completed(*EMA, "lr_multipliers={layers.1.*:0}", tiny=tiny, at=tmp_path)
    held = torch.load(outcome.folder / "checkpoints" / "last.ckpt", weights_only=True)["averaging"]["trained"]
    trained = {"layers.2.weight", "layers.2.bias", "layers.4.weight", "layers.4.bias"}
    assert held.keys() == {*trained, "layers.2.running_mean", "layers.2.running_var"}


def test_complex_weights_are_averaged_too(tiny: Path, tmp_path: Path) -> None:
    words = (*EMA, "model.in_features=192", f"model._target_={__name__}.ComplexNetwork")
    outcome = train_completed(*words, tiny=tiny, at=tmp_path)
    held = torch.load(outcome.folder / "checkpoints" / "last.ckpt", weights_only=True)["averaging"]["trained"]
    average = load_file(outcome.folder / "weights.safetensors")["response"]
    assert average.is_complex()
    assert 0 < (average - held["response"]).abs().max() < 0.1


def test_a_run_with_an_average_is_rerun_to_the_same_bits(tiny: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = rerun(open_recorded(train_completed(*EMA, tiny=tiny, at=tmp_path).folder), notify=lambda line: None)
    assert not found.comparison.differences


def test_trials_with_an_average_are_not_packed() -> None:
    assert why_not_packable(compose(["callbacks=[default,ema]"]).config) == "callbacks.ema needs a Trainer of its own"


def test_an_average_that_never_began_is_reported(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stops = ("callbacks=[default,early_stopping,swa]", "callbacks.early_stopping.min_delta=9", "trainer.max_epochs=40")
    train_tiny(*stops, "logger=none", data=tiny, at=tmp_path)
    line = "copycat: SWA: no weights were averaged: training ended before averaging began\n"
    assert line in capsys.readouterr().err
    train_tiny(*SWA, "trainer.max_epochs=2", "logger=none", data=tiny, at=tmp_path)
    assert line not in capsys.readouterr().err


def test_two_averages_and_one_that_never_begins_are_refused() -> None:
    with pytest.raises(UserError, match=r"^callbacks: expected one average of the weights; got ema and swa"):
        compose(["callbacks=[default,ema,swa]"])
    with pytest.raises(UserError, match=r"^callbacks.ema.start_epoch: expected less than trainer.max_epochs=3; got 3"):
        compose(["callbacks=[default,ema]", "callbacks.ema.start_epoch=3", "trainer.max_epochs=3"])
