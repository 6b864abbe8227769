"""Accumulate the batches of one stage (train, val or test), and compute its metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from copycat.models.added_metrics import AddedMetric
from copycat.models.loss_base import Loss
from copycat.models.metrics import ALL_CLASS_SCORES, SCORE_NAMES, Row, compute_scores, recorded_dtype
from copycat.models.prediction_buffer import PredictionBuffer
from copycat.models.score_counts import count_predictions
from copycat.models.shared_batches import SharedBatches


class StageMetrics:
    """Compute the loss and metrics of one stage over the batches since the last `compute`.

    With the reduction `mean` the loss is the average over the images, with `sum` their total.
    """

    def __init__(self, stage: str, *, classes: int, reduction: str, added: Sequence[AddedMetric] = ()) -> None:
        """Start without batches; `added` are the metrics beside loss and scores."""
        self.stage, self.classes, self.averages, self.added = stage, classes, reduction == "mean", added
        self.shared: SharedBatches | None = None
        """How ranks join their parts of batches; None for one rank."""
        self._predictions = PredictionBuffer()
        self._clear()

    def _clear(self) -> None:
        self.batches = self._weight = 0
        self._cost = torch.zeros(())
        self._first = torch.tensor(torch.nan)
        """Loss of the first batch, to return it exactly: multiplying and dividing by its weight may round."""
        self._terms: list[tuple[Tensor, int]] = []
        self._predictions.clear()

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor, images: int | None = None) -> None:
        """Add a batch: scalar loss, [B] or [B, classes] probabilities, and labels as int64.

        Of a batch that ranks share, these are the whole batch's loss, this rank's part, and the number of all images.
        """
        self._add_loss(loss.detach(), len(label) if images is None else images)
        self._predictions.append(probability.detach(), label)

    def _add_loss(self, loss: Tensor, images: int) -> None:
        weight = images if self.averages else 1
        if not self.batches:
            self._first = loss
        self._cost = self._cost + loss.to(_sum_dtype(loss)) * weight
        self._weight += weight
        self.batches += 1

    def update_part(
        self, terms: Tensor, *, probability: Tensor, label: Tensor, images: int, dtype: torch.dtype
    ) -> None:
        """Add this rank's part of a batch that needs no gradient; its loss is known after `join_parts`.

        Args:
            terms: as `SharedBatches.loss_terms` returns them.
            probability: of the part, [B] or [B, classes].
            label: int64, of the part.
            images: number of images of the whole batch.
            dtype: of the loss.
        """
        self._terms.append((terms, images))
        self._loss_dtype = dtype
        self._predictions.append(probability, label)

    def join_parts(self, criterion: Loss) -> None:
        """Compute the losses of the batches whose parts were added; every rank must call it."""
        if self.shared is None or not self._terms:
            return
        terms, images = zip(*self._terms, strict=True)
        losses = self.shared.total_losses(criterion, terms).to(self._loss_dtype)
        for loss, count in zip(losses, images, strict=True):
            self._add_loss(loss, count)
        self._terms = []

    def predictions(self) -> tuple[Tensor, Tensor]:
        """Return the probabilities, [N] or [N, classes], and labels of all batches; of ranks only the first has them.

        Every rank must call it.
        """
        probability, label = self._predictions.concatenated()
        if self.shared is None:
            return probability, label
        return self.shared.join(probability, label, self._predictions.sizes)

    def _count(self) -> Tensor | None:
        """Return the counts of all ranks' predictions, for scores; None of one rank. Every rank must call it."""
        if self.shared is None:
            return None
        probability, label = (values.cpu()[None] for values in self._predictions.concatenated())
        return self.shared.ranks.sum(count_predictions(probability, label, classes=self.classes))

    def state(self) -> dict[str, Any]:
        """Return the batches added since the last `compute`, for a checkpoint inside an epoch."""
        if not self.batches:
            return {}
        probability, label = self.predictions()
        weight = torch.tensor(self._weight, dtype=self._cost.dtype)
        seen = {"cost": self._cost, "weight": weight, "probability": probability, "label": label}
        return {"batches": self.batches, "seen": {name: value.cpu() for name, value in seen.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the batches that `state` returned."""
        if not state:
            return
        self.batches, seen = state["batches"], state["seen"]
        self._cost, self._weight = seen["cost"], int(seen["weight"])
        kept = slice(None) if self.shared is None or self.shared.is_first else slice(0)
        self._predictions.clear()
        self._predictions.append(seen["probability"][kept], seen["label"][kept])
        self._first = self._mean(self._cost)

    def compute(self) -> tuple[Row, Tensor]:
        """Return the metrics by name, such as `val/accuracy`, each in the run's precision, and reset.

        Also return the probabilities, of which `predictions` tells more.
        """
        probability, label = (values.cpu() for values in self.predictions())
        counts = self._count()
        loss = self._first.cpu() if self.batches == 1 else self._mean(self._cost.cpu())

        def make_row() -> Row:
            (row,) = self.rows(loss[None], probability[None], label[None], counts=counts)
            return row

        row = make_row() if self.shared is None else self.shared.from_first(make_row)
        self._clear()
        return row, probability

    def _mean(self, cost: Tensor) -> Tensor:
        return cost / self._weight if self.averages else cost

    def rows(self, loss: Tensor, probability: Tensor, label: Tensor, *, counts: Tensor | None = None) -> list[Row]:
        """Return the metrics of epochs.

        Args:
            loss: [epochs].
            probability: [epochs, N, …].
            label: [epochs, N, …].
            counts: of these predictions, where ranks have summed them.
        """
        probability = probability.reshape(*label.shape[:2], *probability.shape[2:])
        found = compute_scores(probability, label, classes=self.classes, counts=counts)
        names = [f"{self.stage}/{name}" for name in ("loss", *SCORE_NAMES)]
        losses = loss.to(recorded_dtype(probability)).tolist()
        rows = [dict(zip(names, row, strict=True)) for row in zip(losses, *found.values(), strict=True)]
        undefined = [f"{self.stage}/{name}" for name in ALL_CLASS_SCORES]
        for metric in self.added:
            undefined += [f"{self.stage}/{name}" for name in metric.columns]
            for row, some, true in zip(rows, probability, label, strict=True):
                row |= {f"{self.stage}/{name}": value for name, value in metric.compute(some, true).items()}
        for name in undefined:
            for row in rows:
                if row[name] != row[name]:  # nan: it is undefined
                    del row[name]
        return rows

    def compute_epochs(self, costs: Tensor, sizes: Sequence[int], probability: Tensor, label: Tensor) -> list[Row]:
        """Return the metrics of epochs of equal numbers of steps and images, with the bits of `update` and `compute`.

        Args:
            costs: losses, [epochs, steps].
            sizes: number of images of each step.
            probability: [epochs, N] of class 1, or [epochs, N, classes].
            label: [epochs, N] int64, or [epochs, N, classes] of several classes an image.
        """
        return self.rows(self.join_losses(costs, sizes), probability.cpu(), label.cpu())

    def join_losses(self, costs: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the losses of epochs, [epochs], from those of their steps; arguments as for `compute_epochs`."""
        if len(sizes) == 1:
            return costs[:, 0].cpu()
        weights = list(sizes) if self.averages else [1] * len(sizes)
        cost = torch.zeros(len(costs), dtype=_sum_dtype(costs))
        for step, weight in zip(costs.cpu().T, weights, strict=True):
            cost += step.to(cost.dtype) * weight
        return cost / (sum(weights) if self.averages else 1)


def _sum_dtype(losses: Tensor) -> torch.dtype:
    return torch.float32 if losses.device.type == "mps" else torch.float64  # MPS has no float64


@dataclass(slots=True)
class EpochSteps:
    """Hold the losses, probabilities and labels of an epoch's steps."""

    losses: list[Tensor] = field(default_factory=list)
    """Scalars, one per step."""
    probabilities: list[Tensor] = field(default_factory=list)
    """[B] of class 1, or [B, classes]."""
    labels: list[Tensor] = field(default_factory=list)
    """[B] int64, or [B, classes] of several classes an image or of mixed images."""
