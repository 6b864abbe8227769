"""A run in float64 records all digits of its metrics, wherever it records them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from copycat.data.loaders import MemoryLoader
from copycat.models.metrics import to_scalar_tensor
from copycat.records.metrics_csv import read_history
from copycat.training.components import build_components
from tests.support.commands import call_copycat
from tests.support.run_folders import read_training_losses
from tests.support.runs import QUIET, compose_quickly, train_tiny

EPOCHS = 3
DOUBLE = ("model._target_=tests.support.networks.DoubleNetwork", f"trainer.max_epochs={EPOCHS}", "optimizer.lr=0.1")


def cut(value: float) -> bool:
    return float(np.float32(value)) == value


def compute_losses_by_hand(tiny: Path, *words: str) -> list[float]:
    """Return the loss of each full-batch step of plain gradient descent in float64."""
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *words]).config)
    network, loss = parts.classifier.network.double(), parts.classifier.loss.double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loader = parts.data.loader("train")
    assert isinstance(loader, MemoryLoader)
    (batch,) = loader.batches(0, 1)
    losses = []
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        found = loss(network(batch["image"].double()), batch["label"])
        found.backward()
        optimizer.step()
        losses.append(found.item())
    return losses


def test_the_training_loss_is_that_of_a_loop_by_hand_in_float64(tiny: Path, tmp_path: Path) -> None:
    words = ("model=logistic", "optimizer.lr=0.1", f"trainer.max_epochs={EPOCHS}", "trainer.precision=64-true")
    folder = train_tiny(*words, *QUIET, data=tiny, at=tmp_path).folder
    assert read_training_losses(folder) == compute_losses_by_hand(tiny, *words)
    final = json.loads((folder / "run.json").read_text())["results"]["final"]
    assert not cut(final["train/loss"])
    assert not cut(final["val/loss"])


def test_single_steps_steps_at_once_and_packs_record_all_digits(tiny: Path, tmp_path: Path) -> None:
    expected = compute_losses_by_hand(tiny, *DOUBLE)
    for steps in ("1", "null"):
        words = (*DOUBLE, f"trainer.steps_per_execution={steps}")
        folder = train_tiny(*words, data=tiny, at=tmp_path).folder
        assert read_training_losses(folder) == expected
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    sweep = tmp_path / "sweep"
    call_copycat("train", "-m", *data, *DOUBLE, "seed=123,4", "hydra/launcher=packed", f"sweep.folder={sweep}")
    packed = json.loads((sweep / "0" / "run.json").read_text())
    assert packed["provenance"]["pack"] == [0, 1]
    assert read_training_losses(sweep / "0") == pytest.approx(expected, rel=1e-14)
    best = packed["results"]["best"]
    assert best["metrics"] == {k: v for k, v in read_history(sweep / "0")[best["epoch"]].items() if k != "epoch"}
    assert not cut(best["metrics"]["val/loss"])
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["copycat"]["callback_metrics"]["val/loss"] == read_history(folder)[-1]["val/loss"]


@pytest.mark.parametrize("value", [0.1, 0.5, float(np.float32(0.1))])
def test_a_metric_for_callbacks_is_float32_unless_that_would_cut_digits(value: float) -> None:
    found = to_scalar_tensor(value)
    assert found.item() == value
    assert found.dtype == (torch.float64 if value == 0.1 else torch.float32)
