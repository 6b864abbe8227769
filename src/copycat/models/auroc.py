"""Compute the area under the ROC curve, of two classes or as a mean over more."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_SORTED = 2**18  # number of probabilities that are sorted together, which bounds memory for many classes
RANKED_AT_ONCE = 2**16  # number of images whose ranks are summed together, which bounds memory for many images


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
    labels = (ranked & 1).astype(bool)
    ranked >>= 1
    values, images = ranked, true.shape[1]
    positive = labels.sum(1, dtype=np.int64)
    # the rank of a positive image minus the number of positive ones up to it is the number of negative ones before it
    halves = -positive * (positive + 1)
    for first in range(0, images, RANKED_AT_ONCE):
        some = labels[:, first : first + RANKED_AT_ONCE].astype(np.int64)
        halves += 2 * (some @ np.arange(first + 1, first + 1 + some.shape[1]))
    for row in np.flatnonzero(((values[:, 1:] == values[:, :-1]) & (labels[:, 1:] != labels[:, :-1])).any(1)):
        above, below = (values[row][labels[row] == label] for label in (1, 0))
        halves[row] -= (np.searchsorted(below, above, "right") - np.searchsorted(below, above)).sum()
    pairs = positive * (images - positive)
    with np.errstate(invalid="ignore"):
        areas: NDArray[np.floating[Any]] = (halves / (2 * pairs)).astype(probability.dtype)
    return areas


def mean_auroc(probability: Tensor, label: Tensor) -> float:
    """Return the mean over classes of the AUROC of each class against all others, for some classes at a time."""
    areas, chunk_size = [], max(1, MAX_SORTED // len(label))
    for first in range(0, probability.shape[1], chunk_size):
        columns = to_float(probability[:, first : first + chunk_size]).T
        true = label == torch.arange(first, first + len(columns))[:, None]
        areas.append(auroc(columns.numpy(), true.numpy()))
    each = np.concatenate(areas)
    return float(each.mean(dtype=np.float64).astype(each.dtype))


def mean_aurocs(probability: Tensor, label: Tensor) -> list[float]:
    """Return each epoch's mean AUROC over classes that are present or not; nan where one is in no image or in all.

    Args:
        probability: [epochs, N, classes], or [epochs, N] of one class.
        label: [epochs, N, …], 1 where the class is present.
    """
    if label.ndim == 2:
        return auroc(to_float(probability).numpy(), (label == 1).numpy()).tolist()  # type: ignore[no-any-return]
    epochs, images, classes = label.shape
    chunk_size = max(1, MAX_SORTED // images) if epochs == 1 else classes
    found = []
    for some, labels in zip(torch.split(probability, chunk_size, 2), torch.split(label, chunk_size, 2), strict=True):
        columns, true = (values.transpose(1, 2).flatten(0, 1) for values in (to_float(some), labels == 1))
        found.append(auroc(columns.numpy(), true.numpy()).reshape(epochs, -1))
    areas = np.concatenate(found, axis=1)
    means: list[float] = areas.astype(np.float64).mean(1).astype(areas.dtype).tolist()
    return means


def to_float(probability: Tensor) -> Tensor:
    """Convert to float32 unless float64: NumPy has no bfloat16."""
    return probability if probability.dtype == torch.float64 else probability.float()
