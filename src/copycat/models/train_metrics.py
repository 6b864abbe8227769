"""Collect the metrics of training steps, and make one row of each epoch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from copycat.models.loss_base import Loss
from copycat.models.metrics import Row, concatenate
from copycat.models.stage_metrics import EpochSteps, StageMetrics


class TrainMetrics:
    """Collect losses and predictions of the current epoch's steps.

    In a row `train/loss` is the last step's, as the lecture prints it; where an epoch has several batches,
    `train/loss_mean` stands beside it.
    """

    def __init__(self, metrics: StageMetrics, loss: Loss) -> None:
        """Start without steps; `loss` converts soft labels to those that metrics are computed with."""
        self.metrics, self.loss = metrics, loss
        self.last_loss = torch.tensor(torch.nan)
        """Loss of the last training step."""

    def record(self, loss: Tensor, probability: Tensor, label: Tensor, *, images: int | None = None) -> None:
        """Record a step of the current epoch; of a batch that ranks share with the number of all its images."""
        self.last_loss, hard = loss, self.loss.hard_labels(label)
        self.metrics.update(loss=loss, probability=probability, label=hard, images=images)

    def finish_epoch(self) -> Row:
        """Compute and reset the metrics of the current epoch."""
        batches = self.metrics.batches
        computed, _ = self.metrics.compute()
        (row,) = _add_last_loss([computed], self.last_loss[None], batches=batches)
        return row

    def finish_epochs(self, epochs: Sequence[EpochSteps]) -> list[Row]:
        """Return the rows of epochs of equal numbers of steps and images."""
        steps = len(epochs[0].losses)
        costs = torch.stack([loss for epoch in epochs for loss in epoch.losses]).view(-1, steps)
        probability = torch.stack([concatenate(epoch.probabilities) for epoch in epochs])
        label = self._join_labels([epoch.labels for epoch in epochs])
        self.last_loss = epochs[-1].losses[-1]
        return self.compute_rows(costs, [len(part) for part in epochs[0].labels], probability, label)

    def _join_labels(self, epochs: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the labels [epochs, N, …] of epochs' batches; a view where all epochs have the same batches."""
        first, *others = epochs
        if all(a is b for labels in others for a, b in zip(labels, first, strict=True)):
            joined = self.loss.hard_labels(concatenate(list(first)))
            return joined.expand(len(epochs), *joined.shape)
        return torch.stack([self.loss.hard_labels(concatenate(list(labels))) for labels in epochs])

    def compute_rows(self, costs: Tensor, sizes: Sequence[int], probability: Tensor, label: Tensor) -> list[Row]:
        """Return the rows of epochs; shapes as for `StageMetrics.compute_epochs`."""
        rows = self.metrics.compute_epochs(costs, sizes, probability, label)
        return _add_last_loss(rows, costs[:, -1], batches=len(sizes))

    def state(self) -> dict[str, Any]:
        """Return the state of the current epoch, for a checkpoint."""
        return {"train": self.metrics.state(), "last_loss": self.last_loss.cpu()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what a checkpoint inside an epoch recorded."""
        self.metrics.restore(state["train"])
        self.last_loss = state["last_loss"]


def _add_last_loss(rows: Sequence[Row], losses: Tensor, *, batches: int) -> list[Row]:
    if batches == 1:
        return list(rows)
    pairs = zip(losses.tolist(), rows, strict=True)
    return [{"train/loss": loss, "train/loss_mean": row.pop("train/loss"), **row} for loss, row in pairs]
