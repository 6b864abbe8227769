"""Count correct and predicted images by class, and compute the scores that follow from the counts."""

from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COUNTED_SCORES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
COUNTED_AT_ONCE = 2**24
"""Number of probabilities that are compared together, which bounds memory for many images."""


def count_classes(predicted: Tensor, label: Tensor, *, classes: int) -> Tensor:
    """Count images, hits, true and predicted images of each class; counts of several parts of the images add up.

    They are what scores need of the confusion matrix, linear in the classes in time and memory.

    Args:
        predicted: predicted classes, [N] int64.
        label: true classes, [N] int64.
        classes: number of classes.

    Returns:
        int64 [4, classes].
    """
    hits, positive, claimed = (
        torch.bincount(of, minlength=classes) for of in (label[predicted == label], label, predicted)
    )
    return torch.stack([torch.full_like(hits, len(label)), hits, positive, claimed])


def count_present(probability: Tensor, label: Tensor) -> Tensor:
    """Count as `count_classes` does where each class is present or not, and predicted above 0.5.

    Args:
        probability: [epochs, N, classes].
        label: [epochs, N, classes], 1 where the class is present.

    Returns:
        int64 [epochs, 4, classes].
    """
    if label.numel() > COUNTED_AT_ONCE and label.shape[1] > 1:
        halves = zip(probability.chunk(2, 1), label.chunk(2, 1), strict=True)
        return reduce(torch.add, (count_present(some, true) for some, true in halves))
    predicted, true = probability > 0.5, label == 1
    hits, positive, claimed = (predicted & true).sum(1), true.sum(1), predicted.sum(1)
    return torch.stack([torch.full_like(hits, true.shape[1]), hits, positive, claimed], 1)


def count_predictions(probability: Tensor, label: Tensor, *, classes: int) -> Tensor:
    """Count the predictions of epochs, as `count_classes` or `count_present` does; arguments as `compute_scores`.

    Returns:
        int64 [epochs, 4, classes]; for two classes [epochs, 4, 1] of class 1.
    """
    if label.ndim == 3:
        return count_present(probability, label)
    if classes == 2:
        return count_present(probability[..., None], label[..., None])
    pairs = zip(probability, label, strict=True)
    return torch.stack([count_classes(some.argmax(1), true, classes=classes) for some, true in pairs])


def present_scores(counts: Tensor, *, dtype: torch.dtype) -> dict[str, list[float]]:
    """Compute the means over the classes of each epoch's scores, from `count_present`; undefined ones are nan.

    Args:
        counts: int64 [epochs, 4, classes].
        dtype: of the scores, float32 or float64.
    """
    images, hits, positive, claimed = counts.numpy().swapaxes(0, 1)
    negative = images - positive
    rejected = negative - claimed + hits
    kind: type[np.floating[Any]] = np.float64 if dtype == torch.float64 else np.float32
    numerators: NDArray[np.floating[Any]] = np.array([hits + rejected, rejected, hits, hits, 2 * hits], kind)
    denominators: NDArray[np.floating[Any]] = np.array([images, negative, claimed, positive, claimed + positive], kind)
    with np.errstate(invalid="ignore"):
        ratios = numerators / denominators
    ratios[1] = (ratios[3] + ratios[1]) / 2  # recall and specificity
    ratios[2:][denominators[2:] == 0] = 0
    means = ratios[:, :, 0] if counts.shape[2] == 1 else ratios.astype(np.float64).mean(2).astype(kind)
    return dict(zip(COUNTED_SCORES, means.tolist(), strict=True))


def class_scores(counts: Tensor, *, dtype: torch.dtype, present_only: bool = False) -> dict[str, float]:
    """Compute the macro averages of one of more than two classes an image, from `count_classes`.

    Args:
        counts: int64 [4, classes].
        dtype: of the ratios.
        present_only: average over classes that have images; else also over classes that are only predicted, whose
            recall is 0.
    """
    images, hits, positive, claimed = counts
    parts, wholes = torch.stack([hits, hits, 2 * hits]), torch.stack([claimed, positive, claimed + positive])
    averaged = (positive if present_only else claimed + positive) > 0
    each = (parts.to(dtype) / wholes.to(dtype)).nan_to_num(0) * averaged
    precision, recall, f1 = (each / averaged.sum()).sum(1).tolist()
    accuracy = (hits.sum().to(dtype) / images[0]).item()
    balanced = recall if bool((positive > 0).all()) else torch.nan
    return dict(zip(COUNTED_SCORES, [accuracy, balanced, precision, recall, f1], strict=True))


def scores_from_counts(counts: Tensor, *, dtype: torch.dtype, several: bool) -> dict[str, list[float]]:
    """Compute all scores but AUROC of each epoch, from `count_predictions`.

    Args:
        counts: int64 [epochs, 4, classes].
        dtype: of the scores, float32 or float64.
        several: whether images may have several classes.
    """
    if several or counts.shape[2] == 1:
        return present_scores(counts, dtype=dtype)
    rows = [class_scores(each, dtype=dtype) for each in counts]
    return {name: [row[name] for row in rows] for name in COUNTED_SCORES}
