"""Compute metrics from probabilities and labels."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.models.auroc import MAX_SORTED, auroc, mean_auroc, to_float

SCORE_NAMES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "auroc")
ALL_CLASS_SCORES = ("balanced_accuracy", "auroc")  # scores that are defined only where each class has an image
Row = dict[str, float]
MAX_LISTED_CLASSES = 20
EPOCHS_PER_CHUNK = 512
"""Number of epochs whose scores are computed together: more would exceed the processor's cache."""


def compute_scores(probability: Tensor, label: Tensor, *, classes: int) -> dict[str, list[float]]:
    """Compute accuracy, balanced accuracy, precision, recall, F1 and AUROC of each epoch.

    With two classes, class 1 is positive, and predicted where its probability is above 0.5. With more classes, scores
    are macro averages. Balanced accuracy is the mean of the classes' recalls. A ratio with denominator 0 is 0, but
    balanced accuracy and AUROC are nan where a class has no image: 0 would read as a bad score. An epoch's scores have
    the same bits for any number of epochs: float64 values for float64 probabilities, else float32 values.

    Where images may have several classes, each class is present or not, predicted above 0.5, and scores are means over
    the classes: accuracy is that of an image and a class (1 - Hamming loss).

    Args:
        probability: [epochs, N] of class 1 for two classes, else [epochs, N, classes].
        label: [epochs, N] int64; [epochs, N, classes] of 0 and 1 where images may have several classes.
        classes: number of classes.

    Returns:
        Name of a score: its value for each epoch.
    """
    if label.ndim == 3:
        return _multi_label_scores(probability, label)
    if classes == 2:
        columns: dict[str, list[float]] = {name: [] for name in SCORE_NAMES}
        chunks = (torch.split(values, EPOCHS_PER_CHUNK) for values in (probability, label))
        for some, true in zip(*chunks, strict=True):
            for name, values in _binary_scores(some, true == 1).items():
                columns[name] += values
        return columns
    rows = [_multiclass_scores(p, y, classes=classes) for p, y in zip(probability, label, strict=True)]
    return {name: [row[name] for row in rows] for name in SCORE_NAMES}


def _multi_label_scores(probability: Tensor, label: Tensor) -> dict[str, list[float]]:
    classes, dtype = label.shape[2], to_float(probability[:0]).numpy().dtype
    columns: dict[str, list[float]] = {name: [] for name in SCORE_NAMES}
    chunks = (torch.split(values, max(1, EPOCHS_PER_CHUNK // classes)) for values in (probability, label))
    for some, true in zip(*chunks, strict=True):
        found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in SCORE_NAMES}
        at_once = max(1, MAX_SORTED // label.shape[1]) if len(some) == 1 else classes
        for pair in zip(torch.split(some, at_once, 2), torch.split(true, at_once, 2), strict=True):
            each = (values.transpose(1, 2).flatten(0, 1) for values in (pair[0], pair[1] == 1))  # [epochs · classes, N]
            for name, values in _binary_scores(*each).items():
                found[name].append(np.array(values).reshape(len(some), -1))
        for name, parts in found.items():
            columns[name] += np.concatenate(parts, axis=1).mean(1).astype(dtype).tolist()
    return columns


def _binary_scores(probability: Tensor, true: Tensor) -> dict[str, list[float]]:
    probability = to_float(probability)
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


def _multiclass_scores(probability: Tensor, label: Tensor, *, classes: int) -> Row:
    scores = scores_from_confusion(probability.argmax(1), label, classes=classes, dtype=to_float(probability[:0]).dtype)
    scores["auroc"] = torch.nan
    if scores["balanced_accuracy"] == scores["balanced_accuracy"]:
        scores["auroc"] = mean_auroc(probability, label)
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


def score_images(probability: Tensor, label: Tensor, *, present_only: bool = False) -> Row:
    """Compute the scores of one set of images, without those that are undefined.

    Args:
        probability: [N, classes].
        label: [N] int64, or [N, classes] of 0 and 1.
        present_only: for images that lack a class: average over the classes that they have. For two classes return the
            accuracy alone, since the other scores would not depend on the predictions or have denominator 0.
    """
    classes = probability.shape[1]
    if label.ndim == 2:
        columns = compute_scores(probability.float()[None], label[None], classes=classes)
        return {name: value for name, (value,) in columns.items() if value == value}
    if present_only:
        scores = scores_from_confusion(probability.argmax(1), label, classes=classes, present_only=True)
        kept = ("accuracy",) if classes == 2 else ("accuracy", "precision", "recall", "f1")
        return {name: scores[name] for name in kept}
    probability = (probability[:, 1] if classes == 2 else probability).float()
    columns = compute_scores(probability[None], label[None], classes=classes)
    return {name: value for name, (value,) in columns.items() if value == value}


def list_quantities(metrics: Iterable[str]) -> list[str]:
    """Return the quantities to list of metrics such as `val/loss`: loss, scores, and others that the metrics have.

    Values for each class are left out where there are more than `MAX_LISTED_CLASSES`.
    """
    found = dict.fromkeys(name.partition("/")[2] for name in metrics if not name.endswith("/loss_mean"))
    classes = Counter(name.partition("/")[0] for name in found if "/" in name)
    listed = (name for name in found if "/" not in name or classes[name.partition("/")[0]] <= MAX_LISTED_CLASSES)
    return [*dict.fromkeys(["loss", *SCORE_NAMES, *listed])]


def to_scalar_tensor(value: float) -> Tensor:
    """Convert a metric to a tensor for Lightning: float32, or float64 where float32 would lose digits."""
    short = torch.tensor(value, dtype=torch.float32)
    return short if short.item() == value else torch.tensor(value, dtype=torch.float64)


def concatenate(pieces: list[Tensor] | tuple[Tensor, ...], *, dim: int = 0) -> Tensor:
    """Concatenate tensors, without a copy of a single one."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def metric_columns(stages: Iterable[str], *, several_batches: bool, added: Sequence[str] = ()) -> list[str]:
    """Return the names of the metrics that an epoch may have, `train/loss` first; `added` are those beside scores."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *SCORE_NAMES, *added)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
