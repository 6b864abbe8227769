"""The metrics of one stage (train, val or test)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
OF_ALL_CLASSES = ("balanced_accuracy", "auroc")
"""Scores that there are only where each class has an image."""
Row = dict[str, float]
AT_ONCE = 512
"""Epochs that are counted together: more would leave the processor's cache."""


def scores(probability: Tensor, label: Tensor, *, classes: int) -> dict[str, list[float]]:
    """Accuracy, balanced accuracy, precision, recall, F1 and AUROC, each a number an epoch; macro averages for more
    than two classes.

    Balanced accuracy is the mean of the classes' recalls: as many for each class, however many images it has. With two
    classes the positive one is class 1, and a probability above 0.5 says so. A ratio of nothing is 0. Where a class has
    no image, balanced accuracy and AUROC are nan: torchmetrics says 0, which reads as a bad score. An epoch's scores
    have the same bits however many are counted at once.

    Args:
        probability: [epochs, N] of class 1 where there are two classes, else [epochs, N, classes].
        label: [epochs, N] int64.
    """
    if classes == 2:
        found: dict[str, list[float]] = {name: [] for name in NAMES}
        for some, true in zip(torch.split(probability, AT_ONCE), torch.split(label, AT_ONCE), strict=True):
            for name, values in _of_two(some, true == 1).items():
                found[name] += values
        return found
    rows = [_of_many(p, y, classes=classes) for p, y in zip(probability, label, strict=True)]
    return {name: [row[name] for row in rows] for name in NAMES}


def _of_two(probability: Tensor, true: Tensor) -> dict[str, list[float]]:
    if probability.dtype != torch.float64:
        probability = probability.float()  # NumPy has no bfloat16
    said = probability > 0.5
    right, hits, positive, predicted = ((said == true).sum(1), (said & true).sum(1), true.sum(1), said.sum(1))
    images = torch.full_like(right, true.shape[1])
    parts = torch.stack([right, hits, hits, 2 * hits, right - hits]).float()
    wholes = torch.stack([images, predicted, positive, predicted + positive, images - positive]).float()
    accuracy, precision, recall, f1, specificity = parts / wholes
    balanced = ((recall + specificity) / 2).tolist()
    ratios = [ratio.nan_to_num(0).tolist() for ratio in (precision, recall, f1)]
    area = auroc(probability.numpy(), true.numpy())
    return dict(zip(NAMES, [accuracy.tolist(), balanced, *ratios, area], strict=True))


def auroc(probability: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> list[float]:
    """How often a positive image scores above a negative one, a tie being half: counted, so that no order of additions
    changes a bit. The value of a float32 for each epoch, nan where a class has no image.

    Args:
        probability: float32 or float64 [epochs, N] in [0, 1].
        true: [epochs, N].

    Source: Hanley and McNeil 1982, The Meaning and Use of the Area under a ROC Curve: the Wilcoxon statistic.
    """
    whole = np.int64 if probability.itemsize == 8 else np.int32
    # bits of floats from 0 to 1 sort as these do, and leave the highest free: a label fits below them
    bits: NDArray[np.signedinteger[Any]] = np.ascontiguousarray(probability).view(whole)
    ranked = np.sort((bits << 1) | true, axis=1)
    labels, values = ranked & 1, ranked >> 1
    images = true.shape[1]
    positive = labels.sum(1, dtype=np.int64)
    # the rank of a positive image, less the positive ones up to it, is the count of negative ones at or below it
    halves = 2 * (labels.astype(np.int64) @ np.arange(1, images + 1)) - positive * (positive + 1)
    for row in np.flatnonzero(((values[:, 1:] == values[:, :-1]) & (labels[:, 1:] != labels[:, :-1])).any(1)):
        above, below = (values[row][labels[row] == label] for label in (1, 0))
        halves[row] -= (np.searchsorted(below, above, "right") - np.searchsorted(below, above)).sum()
    pairs = positive * (images - positive)
    with np.errstate(invalid="ignore"):
        areas: list[float] = (halves / (2 * pairs)).astype(np.float32).tolist()
    return areas


def _of_many(probability: Tensor, label: Tensor, *, classes: int) -> Row:
    found = {
        "accuracy": multiclass_accuracy(probability, label, classes, average="micro", validate_args=False),
        "precision": multiclass_precision(probability, label, classes, validate_args=False),
        "recall": multiclass_recall(probability, label, classes, validate_args=False),
        "f1": multiclass_f1_score(probability, label, classes, validate_args=False),
    }
    if len(torch.unique(label)) == classes:
        found["auroc"] = multiclass_auroc(probability, label, classes, validate_args=False)
        found["balanced_accuracy"] = found["recall"]  # its macro average: what no image is of would count as 0 there
    else:
        found |= dict.fromkeys(OF_ALL_CLASSES, torch.tensor(torch.nan))
    return {name: value.float().item() for name, value in found.items()}


def scores_of(probability: Tensor, label: Tensor) -> Row:
    """The scores of one set of images, those alone that there are.

    Args:
        probability: [N, classes].
        label: [N] int64.
    """
    classes = probability.shape[1]
    said = (probability[:, 1] if classes == 2 else probability).float()
    found = scores(said[None], label[None], classes=classes)
    return {name: value for name, (value,) in found.items() if value == value}


class Seen(Metric):
    """What the batches since the last reset said and cost, gathered from all processes."""

    full_state_update = False
    probability: list[Tensor]
    label: list[Tensor]
    cost: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probability", [], dist_reduce_fx="cat")
        self.add_state("label", [], dist_reduce_fx="cat")
        # in float64 a mean over one batch is that batch's float32 loss, to the bit
        self.add_state("cost", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, weight: float, probability: Tensor, label: Tensor) -> None:
        self.cost += loss.to(self.cost.dtype) * weight
        self.weight += weight
        self.probability.append(probability)
        self.label.append(label)

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Summed loss, summed weight, probabilities [N] or [N, classes], labels [N]."""
        probability, label = (x if isinstance(x, Tensor) else torch.cat(x) for x in (self.probability, self.label))
        return self.cost, self.weight, probability, label


class StageMetrics(nn.Module):
    """Loss and scores of one stage, over the batches since the last `compute`.

    Args:
        reduction: of the loss: `mean` averages over images, `sum` adds up.
    """

    def __init__(self, stage: str, *, classes: int, reduction: str) -> None:
        super().__init__()
        self.stage, self.classes, self.averages = stage, classes, reduction == "mean"
        self.seen = Seen()
        self.batches = 0

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Take in a batch: scalar loss, [B] or [B, classes] probabilities, [B] labels."""
        self.seen.update(loss.detach(), len(label) if self.averages else 1, probability.detach(), label)
        self.batches += 1

    def state(self) -> dict[str, Any]:
        """What was taken in since the last `compute`, for a checkpoint inside an epoch."""
        if not self.batches:
            return {}
        names = ("cost", "weight", "probability", "label")
        seen = dict(zip(names, self.seen.compute(), strict=True))
        return {"batches": self.batches, "seen": {name: value.detach().cpu() for name, value in seen.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take in what `state` gave."""
        if not state:
            return
        self.batches, seen, device = state["batches"], state["seen"], self.seen.device
        self.seen.cost, self.seen.weight = seen["cost"].to(device), seen["weight"].to(device)
        self.seen.probability, self.seen.label = [seen["probability"].to(device)], [seen["label"].to(device)]

    def compute(self) -> Row:
        """Metrics by name, as `val/accuracy`, each the value of a float32; and start anew."""
        cost, weight, probability, label = (x.cpu() for x in self.seen.compute())
        (row,) = self.rows(cost[None] / (weight if self.averages else 1), probability[None], label.reshape(1, -1))
        self.seen.reset()
        self.batches = 0
        return row

    def rows(self, loss: Tensor, probability: Tensor, label: Tensor) -> list[Row]:
        """Metrics of some epochs: their losses [epochs], probabilities and labels."""
        found = scores(probability.reshape(*label.shape, *probability.shape[2:]), label, classes=self.classes)
        names = [f"{self.stage}/{name}" for name in ("loss", *NAMES)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(loss.float().tolist(), *found.values(), strict=True)]
        for name in OF_ALL_CLASSES:
            whole = f"{self.stage}/{name}"
            for row in rows:
                if row[whole] != row[whole]:  # nan: there is none
                    del row[whole]
        return rows

    def counted(self, costs: Tensor, sizes: Sequence[int], probability: Tensor, label: Tensor) -> list[Row]:
        """Metrics of epochs that have as many steps and images, with the bits that `update` and `compute` give.

        Args:
            costs: [epochs, steps].
            sizes: images of each step.
            probability, label: [epochs, N, …] and [epochs, N].
        """
        weights = list(sizes) if self.averages else [1] * len(sizes)
        cost = torch.zeros(len(costs), dtype=self.seen.cost.dtype)
        for step, weight in zip(costs.cpu().T, weights, strict=True):
            cost += step.to(cost.dtype) * weight
        return self.rows(cost / (sum(weights) if self.averages else 1), probability.cpu(), label.cpu())


class Steps:
    """What the steps of an epoch cost and said."""

    __slots__ = ("labels", "losses", "probabilities")

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        """Scalars, a step each."""
        self.probabilities: list[Tensor] = []
        """[B] of class 1, or [B, classes]."""
        self.labels: list[Tensor] = []
        """[B] int64, or [B, classes] shares of mixed images."""


def joined(pieces: list[Tensor]) -> Tensor:
    """As one tensor; a single piece is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def columns(stages: Iterable[str], *, several_batches: bool) -> list[str]:
    """Names of the metrics that an epoch may have, `train/loss` first."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *NAMES)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
