"""Compute the metrics of one stage (train, val or test).

Functions compute scores from arrays; `StageMetrics` accumulates the batches of a stage.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

SCORE_NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
ALL_CLASS_SCORES = ("balanced_accuracy", "auroc")
"""Scores that are defined only where each class has an image."""
Row = dict[str, float]
EPOCHS_PER_CHUNK = 512
"""Number of epochs whose scores are computed together: more would exceed the processor's cache."""
MAX_SORTED = 2**18
"""Number of probabilities that are sorted together, which bounds memory for many classes."""


def compute_scores(probability: Tensor, label: Tensor, *, classes: int) -> dict[str, list[float]]:
    """Compute accuracy, balanced accuracy, precision, recall, F1 and AUROC of each epoch.

    With two classes, class 1 is positive, and predicted where its probability is above 0.5. With more classes, scores
    are macro averages. Balanced accuracy is the mean of the classes' recalls. A ratio with denominator 0 is 0, but
    balanced accuracy and AUROC are nan where a class has no image: 0 would read as a bad score. An epoch's scores have
    the same bits for any number of epochs: float64 values for float64 probabilities, else float32 values.

    Args:
        probability: [epochs, N] of class 1 for two classes, else [epochs, N, classes].
        label: [epochs, N] int64.
        classes: number of classes.

    Returns:
        Name of a score: its value for each epoch.
    """
    if classes == 2:
        columns: dict[str, list[float]] = {name: [] for name in SCORE_NAMES}
        chunks = (torch.split(values, EPOCHS_PER_CHUNK) for values in (probability, label))
        for some, true in zip(*chunks, strict=True):
            for name, values in _binary_scores(some, true == 1).items():
                columns[name] += values
        return columns
    rows = [_multiclass_scores(p, y, classes=classes) for p, y in zip(probability, label, strict=True)]
    return {name: [row[name] for row in rows] for name in SCORE_NAMES}


def _binary_scores(probability: Tensor, true: Tensor) -> dict[str, list[float]]:
    probability = _to_float(probability)
    predicted = probability > 0.5
    correct, hits = (predicted == true).sum(1), (predicted & true).sum(1)
    positive, claimed = true.sum(1), predicted.sum(1)
    images = torch.full_like(correct, true.shape[1])
    numerators = torch.stack([correct, hits, hits, 2 * hits, correct - hits]).to(probability.dtype)
    denominators = torch.stack([images, claimed, positive, claimed + positive, images - positive])
    accuracy, precision, recall, f1, specificity = numerators / denominators.to(probability.dtype)
    balanced = ((recall + specificity) / 2).tolist()
    ratios = [ratio.nan_to_num(0).tolist() for ratio in (precision, recall, f1)]
    area = auroc(probability.numpy(), true.numpy()).tolist()
    return dict(zip(SCORE_NAMES, [accuracy.tolist(), balanced, *ratios, area], strict=True))


def auroc(probability: NDArray[np.floating[Any]], true: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """Compute the area under the ROC curve of each row, by integers, so that the order of images changes no bit.

    The area is the fraction of pairs in which the positive image scores above the negative one; a tie counts one half.

    Args:
        probability: float32 or float64 [rows, N] in [0, 1].
        true: [rows, N], whether an image is positive.

    Returns:
        The areas [rows] in the precision of the probabilities; nan without positive or negative images.

    Source: Hanley and McNeil 1982, The Meaning and Use of the Area under a ROC Curve: the Wilcoxon statistic.
    """
    whole = np.int64 if probability.itemsize == 8 else np.int32
    # the bits of floats in [0, 1] sort like the floats, and their highest is 0: shifted left, there is room for a label
    bits: NDArray[np.signedinteger[Any]] = np.ascontiguousarray(probability).view(whole)
    ranked = np.sort((bits << 1) | true, axis=1)
    labels, values = ranked & 1, ranked >> 1
    images = true.shape[1]
    positive = labels.sum(1, dtype=np.int64)
    # the rank of a positive image minus the number of positive ones up to it is the number of negative ones before it
    halves = 2 * (labels.astype(np.int64) @ np.arange(1, images + 1)) - positive * (positive + 1)
    for row in np.flatnonzero(((values[:, 1:] == values[:, :-1]) & (labels[:, 1:] != labels[:, :-1])).any(1)):
        above, below = (values[row][labels[row] == label] for label in (1, 0))
        halves[row] -= (np.searchsorted(below, above, "right") - np.searchsorted(below, above)).sum()
    pairs = positive * (images - positive)
    with np.errstate(invalid="ignore"):
        areas: NDArray[np.floating[Any]] = (halves / (2 * pairs)).astype(probability.dtype)
    return areas


def _multiclass_scores(probability: Tensor, label: Tensor, *, classes: int) -> Row:
    scores = scores_from_confusion(
        probability.argmax(1), label, classes=classes, dtype=_to_float(probability[:0]).dtype
    )
    scores["auroc"] = torch.nan
    if scores["balanced_accuracy"] == scores["balanced_accuracy"]:
        scores["auroc"] = _mean_auroc(probability, label)
    return scores


def scores_from_confusion(
    predicted: Tensor, label: Tensor, *, classes: int, dtype: torch.dtype = torch.float32, present_only: bool = False
) -> Row:
    """Compute the scores of more than two classes that follow from the confusion matrix.

    Only its diagonal, row sums and column sums are computed, so that time and memory are linear in the classes.

    Args:
        predicted: predicted classes, [N] int64.
        label: true classes, [N] int64.
        classes: number of classes.
        dtype: of the ratios.
        present_only: average over classes that have images; else also over classes that are only predicted, whose
            recall is 0.
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
    return dict(zip(SCORE_NAMES, [accuracy, balanced, precision, recall, f1], strict=False))


def _mean_auroc(probability: Tensor, label: Tensor) -> float:
    """Return the mean over classes of the AUROC of each class against all others, for some classes at a time."""
    areas, at_once = [], max(1, MAX_SORTED // len(label))
    for first in range(0, probability.shape[1], at_once):
        columns = _to_float(probability[:, first : first + at_once]).T
        true = label == torch.arange(first, first + len(columns))[:, None]
        areas.append(auroc(columns.numpy(), true.numpy()))
    each = np.concatenate(areas)
    return float(each.mean(dtype=np.float64).astype(each.dtype))


def _to_float(probability: Tensor) -> Tensor:
    """Convert to float32 unless float64: NumPy has no bfloat16."""
    return probability if probability.dtype == torch.float64 else probability.float()


def score_images(probability: Tensor, label: Tensor, *, present_only: bool = False) -> Row:
    """Compute the scores of one set of images, without those that are undefined.

    Args:
        probability: [N, classes].
        label: [N] int64.
        present_only: for images that lack a class: average over the classes that they have. For two classes return the
            accuracy alone, since the other scores would not depend on the predictions or have denominator 0.
    """
    classes = probability.shape[1]
    if present_only:
        scores = scores_from_confusion(probability.argmax(1), label, classes=classes, present_only=True)
        kept = ("accuracy",) if classes == 2 else ("accuracy", "precision", "recall", "f1")
        return {name: scores[name] for name in kept}
    probability = (probability[:, 1] if classes == 2 else probability).float()
    columns = compute_scores(probability[None], label[None], classes=classes)
    return {name: value for name, (value,) in columns.items() if value == value}


def to_scalar_tensor(value: float) -> Tensor:
    """Convert a metric to a tensor for Lightning: float32, or float64 where float32 would lose digits."""
    short = torch.tensor(value, dtype=torch.float32)
    return short if short.item() == value else torch.tensor(value, dtype=torch.float64)


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

    Args:
        stage: prefixes the metrics.
        classes: number of classes.
        reduction: of the loss: `mean` averages over images, `sum` adds up.
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


class EpochSteps:
    """Hold the losses, probabilities and labels of an epoch's steps."""

    __slots__ = ("labels", "losses", "probabilities")

    def __init__(self) -> None:
        """Start without steps."""
        self.losses: list[Tensor] = []
        """Scalars, one a step."""
        self.probabilities: list[Tensor] = []
        """[B] of class 1, or [B, classes]."""
        self.labels: list[Tensor] = []
        """[B] int64, or [B, classes] shares of mixed images."""


def concatenate(pieces: list[Tensor], *, dim: int = 0) -> Tensor:
    """Concatenate tensors, without a copy of a single one."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def metric_columns(stages: Iterable[str], *, several_batches: bool) -> list[str]:
    """Return the names of the metrics that an epoch may have, `train/loss` first."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *SCORE_NAMES)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
