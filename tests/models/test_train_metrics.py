"""Rows of training epochs, whether their steps are recorded one by one or many epochs at once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.models.losses import BCE
from copycat.models.stage_metrics import EpochSteps, StageMetrics
from copycat.models.train_metrics import TrainMetrics


def make_metrics() -> TrainMetrics:
    return TrainMetrics(StageMetrics("train", classes=2, reduction="mean"), BCE())


def draw_epoch(sizes: list[int], seed: int) -> EpochSteps:
    """Return the steps of an epoch, with random predictions and the same labels for each seed."""
    random = torch.Generator().manual_seed(seed)
    losses = [torch.rand((), generator=random) for _ in sizes]
    probabilities = [torch.rand(size, generator=random) for size in sizes]
    return EpochSteps(losses, probabilities, [torch.arange(size) % 2 for size in sizes])


def record(metrics: TrainMetrics, epoch: EpochSteps, steps: slice = slice(None)) -> None:
    for loss, probability, label in zip(
        epoch.losses[steps], epoch.probabilities[steps], epoch.labels[steps], strict=True
    ):
        metrics.record(loss, probability, label)


def test_an_epoch_of_several_batches_has_the_last_loss_and_the_mean_over_its_images() -> None:
    metrics = make_metrics()
    label = torch.tensor([0, 1])
    metrics.record(torch.tensor(1.0), torch.tensor([0.1, 0.9]), label)
    metrics.record(torch.tensor(4.0), torch.tensor([0.9]), label[:1])
    row = metrics.finish_epoch()
    assert row["train/loss"] == 4.0
    assert row["train/loss_mean"] == (1.0 * 2 + 4.0 * 1) / 3
    assert row["train/accuracy"] == pytest.approx(2 / 3)
    metrics.record(torch.tensor(0.5), torch.tensor([0.1, 0.9]), label)
    assert "train/loss_mean" not in (row := metrics.finish_epoch()), "an epoch of one batch has one loss"
    assert (row["train/loss"], row["train/accuracy"]) == (0.5, 1.0)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 3))
def test_epochs_computed_at_once_have_the_bits_of_each_alone(sizes: list[int], count: int) -> None:
    epochs = [draw_epoch(sizes, seed) for seed in range(count)]
    alone, together = make_metrics(), make_metrics()
    rows = []
    for epoch in epochs:
        record(alone, epoch)
        rows.append(alone.finish_epoch())
    assert repr(together.finish_epochs(epochs)) == repr(rows)  # nan is equal to nan
    assert together.last_loss == alone.last_loss == epochs[-1].losses[-1]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_a_checkpoint_inside_an_epoch_restores_what_was_recorded(sizes: list[int]) -> None:
    epoch, whole, first, second = draw_epoch(sizes, 0), make_metrics(), make_metrics(), make_metrics()
    record(whole, epoch)
    record(first, epoch, slice(1))
    second.restore(first.state())
    assert second.last_loss == epoch.losses[0]
    record(second, epoch, slice(1, None))
    assert repr(second.finish_epoch()) == repr(whole.finish_epoch())
