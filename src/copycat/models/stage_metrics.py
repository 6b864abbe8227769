"""Accumulate the batches of one stage (train, val or test), and compute its metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from copycat.models.metrics import ALL_CLASS_SCORES, SCORE_NAMES, Row, compute_scores


class BatchAccumulator(Metric):
    """Accumulate losses, probabilities and labels since the last reset, and gather them from all processes."""

    full_state_update = False
    probability: list[Tensor]
    label: list[Tensor]
    cost: Tensor
    weight: Tensor

    def __init__(self) -> None:
        """Register the states."""
        super().__init__()
        self.add_state("probability", [], dist_reduce_fx="cat")
        self.add_state("label", [], dist_reduce_fx="cat")
        self.add_state("cost", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, weight: float, probability: Tensor, label: Tensor) -> None:
        """Add a batch, whose loss counts with a weight."""
        self.cost += loss.to(self.cost.dtype) * weight
        self.weight += weight
        self.probability.append(probability)
        self.label.append(label)

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the weighted sum of losses, the sum of weights, probabilities [N] or [N, classes], labels [N]."""
        probability, label = (x if isinstance(x, Tensor) else torch.cat(x) for x in (self.probability, self.label))
        return self.cost, self.weight, probability, label


class StageMetrics(nn.Module):
    """Compute the loss and scores of one stage over the batches since the last `compute`.

    With the reduction `mean` the loss is the average over the images, with `sum` their total.
    """

    def __init__(self, stage: str, *, classes: int, reduction: str) -> None:
        """Start without batches."""
        super().__init__()
        self.stage, self.classes, self.averages = stage, classes, reduction == "mean"
        self.accumulator = BatchAccumulator()
        self.batches = 0
        self._first = torch.tensor(torch.nan)
        """Loss of the first batch, to return it exactly: multiplying and dividing by its weight may round."""

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Add a batch: scalar loss, [B] or [B, classes] probabilities, [B] labels."""
        if not self.batches:
            self._first = loss.detach()
        self.accumulator.update(loss.detach(), len(label) if self.averages else 1, probability.detach(), label)
        self.batches += 1

    def state(self) -> dict[str, Any]:
        """Return the batches added since the last `compute`, for a checkpoint inside an epoch."""
        if not self.batches:
            return {}
        names = ("cost", "weight", "probability", "label")
        values = dict(zip(names, self.accumulator.compute(), strict=True))
        return {"batches": self.batches, "seen": {name: value.detach().cpu() for name, value in values.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the batches that `state` returned."""
        if not state:
            return
        accumulator, self.batches = self.accumulator, state["batches"]
        values = {name: value.to(accumulator.device) for name, value in state["seen"].items()}
        accumulator.cost, accumulator.weight = values["cost"], values["weight"]
        accumulator.probability, accumulator.label = [values["probability"]], [values["label"]]
        self._first = accumulator.cost / (accumulator.weight if self.averages else 1)

    def compute(self) -> Row:
        """Return the metrics by name, such as `val/accuracy`, each in the run's precision, and reset."""
        cost, weight, probability, label = (x.cpu() for x in self.accumulator.compute())
        loss = self._first.cpu() if self.batches == 1 else cost / (weight if self.averages else 1)
        (row,) = self.rows(loss[None], probability[None], label.reshape(1, -1))
        self.accumulator.reset()
        self.batches = 0
        return row

    def rows(self, loss: Tensor, probability: Tensor, label: Tensor) -> list[Row]:
        """Return the metrics of epochs from losses [epochs], probabilities [epochs, N, …] and labels [epochs, N]."""
        found = compute_scores(probability.reshape(*label.shape, *probability.shape[2:]), label, classes=self.classes)
        names = [f"{self.stage}/{name}" for name in ("loss", *SCORE_NAMES)]
        losses = loss.to(torch.promote_types(probability.dtype, torch.float32)).tolist()
        rows = [dict(zip(names, row, strict=True)) for row in zip(losses, *found.values(), strict=True)]
        for name in ALL_CLASS_SCORES:
            whole = f"{self.stage}/{name}"
            for row in rows:
                if row[whole] != row[whole]:  # nan: it is undefined
                    del row[whole]
        return rows

    def compute_epochs(self, costs: Tensor, sizes: Sequence[int], probability: Tensor, label: Tensor) -> list[Row]:
        """Return the metrics of epochs of equal numbers of steps and images, with the bits of `update` and `compute`.

        Args:
            costs: losses, [epochs, steps].
            sizes: number of images of each step.
            probability: [epochs, N] of class 1, or [epochs, N, classes].
            label: [epochs, N] int64.
        """
        if len(sizes) == 1:
            return self.rows(costs[:, 0].cpu(), probability.cpu(), label.cpu())
        weights = list(sizes) if self.averages else [1] * len(sizes)
        cost = torch.zeros(len(costs), dtype=self.accumulator.cost.dtype)
        for step, weight in zip(costs.cpu().T, weights, strict=True):
            cost += step.to(cost.dtype) * weight
        return self.rows(cost / (sum(weights) if self.averages else 1), probability.cpu(), label.cpu())


@dataclass(slots=True)
class EpochSteps:
    """Hold the losses, probabilities and labels of an epoch's steps."""

    losses: list[Tensor] = field(default_factory=list)
    """Scalars, one a step."""
    probabilities: list[Tensor] = field(default_factory=list)
    """[B] of class 1, or [B, classes]."""
    labels: list[Tensor] = field(default_factory=list)
    """[B] int64, or [B, classes] shares of mixed images."""
