"""The metrics of one stage (train, val or test)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
OF_ALL_CLASSES = ("balanced_accuracy", "auroc")
"""Scores that there are only where each class has an image."""
Row = dict[str, float]
AT_ONCE = 512
"""Epochs that are counted together: more would leave the processor's cache."""
RANKED = 2**18
"""Probabilities that are sorted together, of some classes against all others: bounds memory, whatever their number."""


def scores(probability: Tensor, label: Tensor, *, classes: int) -> dict[str, list[float]]:
    """Accuracy, balanced accuracy, precision, recall, F1 and AUROC, each a number an epoch; macro averages for more
    than two classes.

    Balanced accuracy is the mean of the classes' recalls: as many for each class, however many images it has. With two
    classes the positive one is class 1, and a probability above 0.5 says so. A ratio of nothing is 0. Where a class has
    no image, balanced accuracy and AUROC are nan: 0 would read as a bad score. An epoch's scores have the same bits
    however many are counted at once: the values of a float64 where probabilities are that, else of a float32.

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
    probability = _exact(probability)
    said = probability > 0.5
    right, hits, positive, predicted = ((said == true).sum(1), (said & true).sum(1), true.sum(1), said.sum(1))
    images = torch.full_like(right, true.shape[1])
    parts = torch.stack([right, hits, hits, 2 * hits, right - hits]).to(probability.dtype)
    wholes = torch.stack([images, predicted, positive, predicted + positive, images - positive]).to(probability.dtype)
    accuracy, precision, recall, f1, specificity = parts / wholes
    balanced = ((recall + specificity) / 2).tolist()
    ratios = [ratio.nan_to_num(0).tolist() for ratio in (precision, recall, f1)]
    area = auroc(probability.numpy(), true.numpy()).tolist()
    return dict(zip(NAMES, [accuracy.tolist(), balanced, *ratios, area], strict=True))


def auroc(probability: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """How often a positive image scores above a negative one, a tie being half: counted, so that no order of additions
    changes a bit. A number of the probabilities' precision for each row, nan where it lacks positives or negatives.

    Args:
        probability: float32 or float64 [rows, N] in [0, 1].
        true: [rows, N].

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
        areas: NDArray[np.floating[Any]] = (halves / (2 * pairs)).astype(probability.dtype)
    return areas


def _of_many(probability: Tensor, label: Tensor, *, classes: int) -> Row:
    found = of_confusion(probability.argmax(1), label, classes=classes, dtype=_exact(probability[:0]).dtype)
    found["auroc"] = torch.nan
    if found["balanced_accuracy"] == found["balanced_accuracy"]:
        found["auroc"] = _mean_auroc(probability, label)
    return found


def of_confusion(
    predicted: Tensor, label: Tensor, *, classes: int, dtype: torch.dtype = torch.float32, present_only: bool = False
) -> Row:
    """Scores of more than two classes that follow from the counts of the confusion matrix: its diagonal and its sums by
    row and by column, so that neither time nor memory grows with the square of the classes.

    Args:
        predicted, label: [N] int64.
        dtype: of the ratios.
        present_only: average over classes that have images; else over those too that images were taken for, whose
            recall is a ratio of nothing.
    """
    hits, positive, claimed = (
        torch.bincount(of, minlength=classes) for of in (label[predicted == label], label, predicted)
    )
    parts, wholes = torch.stack([hits, hits, 2 * hits]), torch.stack([claimed, positive, claimed + positive])
    counts = (positive if present_only else claimed + positive) > 0
    each = (parts.to(dtype) / wholes.to(dtype)).nan_to_num(0) * counts
    precision, recall, f1 = (each / counts.sum()).sum(1).tolist()
    accuracy = (hits.sum().to(dtype) / len(label)).item()
    balanced = recall if bool((positive > 0).all()) else torch.nan
    return dict(zip(NAMES, [accuracy, balanced, precision, recall, f1], strict=False))


def _mean_auroc(probability: Tensor, label: Tensor) -> float:
    """The mean over classes of each against all others, some of them at once."""
    areas, at_once = [], max(1, RANKED // len(label))
    for first in range(0, probability.shape[1], at_once):
        columns = _exact(probability[:, first : first + at_once]).T
        true = label == torch.arange(first, first + len(columns))[:, None]
        areas.append(auroc(columns.numpy(), true.numpy()))
    each = np.concatenate(areas)
    return float(each.mean(dtype=np.float64).astype(each.dtype))


def _exact(probability: Tensor) -> Tensor:
    """As float64 where it is that, else as float32: NumPy has no bfloat16."""
    return probability if probability.dtype == torch.float64 else probability.float()


def scores_of(probability: Tensor, label: Tensor, *, present_only: bool = False) -> Row:
    """The scores of one set of images, those alone that there are.

    Args:
        probability: [N, classes].
        label: [N] int64.
        present_only: of images that lack a class: averages over the classes that they have, and of two classes the
            accuracy alone, as the others would be ratios of nothing, or 1 whatever the network says.
    """
    classes = probability.shape[1]
    if present_only:
        of_each = of_confusion(probability.argmax(1), label, classes=classes, present_only=True)
        kept = ("accuracy",) if classes == 2 else ("accuracy", "precision", "recall", "f1")
        return {name: of_each[name] for name in kept}
    said = (probability[:, 1] if classes == 2 else probability).float()
    found = scores(said[None], label[None], classes=classes)
    return {name: value for name, (value,) in found.items() if value == value}


def scalar(value: float) -> Tensor:
    """A metric as Lightning takes it: float32, or float64 where that would cut digits."""
    short = torch.tensor(value, dtype=torch.float32)
    return short if short.item() == value else torch.tensor(value, dtype=torch.float64)


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
        self._first = torch.tensor(torch.nan)
        """The loss of the first batch: of a float64, a weight that is multiplied and divided by would cut a digit."""

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Take in a batch: scalar loss, [B] or [B, classes] probabilities, [B] labels."""
        if not self.batches:
            self._first = loss.detach()
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
        self._first = self.seen.cost / (self.seen.weight if self.averages else 1)
        self.seen.probability, self.seen.label = [seen["probability"].to(device)], [seen["label"].to(device)]

    def compute(self) -> Row:
        """Metrics by name, as `val/accuracy`, each in the run's precision; and start anew."""
        cost, weight, probability, label = (x.cpu() for x in self.seen.compute())
        loss = self._first.cpu() if self.batches == 1 else cost / (weight if self.averages else 1)
        (row,) = self.rows(loss[None], probability[None], label.reshape(1, -1))
        self.seen.reset()
        self.batches = 0
        return row

    def rows(self, loss: Tensor, probability: Tensor, label: Tensor) -> list[Row]:
        """Metrics of some epochs: their losses [epochs], probabilities and labels."""
        found = scores(probability.reshape(*label.shape, *probability.shape[2:]), label, classes=self.classes)
        names = [f"{self.stage}/{name}" for name in ("loss", *NAMES)]
        losses = loss.to(torch.promote_types(probability.dtype, torch.float32)).tolist()
        rows = [dict(zip(names, row, strict=True)) for row in zip(losses, *found.values(), strict=True)]
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
        if len(sizes) == 1:
            return self.rows(costs[:, 0].cpu(), probability.cpu(), label.cpu())
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


def joined(pieces: list[Tensor], *, dim: int = 0) -> Tensor:
    """As one tensor; a single piece is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def columns(stages: Iterable[str], *, several_batches: bool) -> list[str]:
    """Names of the metrics that an epoch may have, `train/loss` first."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *NAMES)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
