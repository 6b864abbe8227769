"""How sure scores are, of so few images."""

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.models.metrics import compute_scores, scores_from_confusion

RESAMPLES = 2000
RESAMPLES_OF_MANY = 200
"""Of more than two classes, whose scores are reckoned one by one."""
FEW = 64
"""Images of a class that are held against all others one by one; more are sorted among them."""


def bootstrap(
    probability: NDArray[np.floating], label: NDArray[np.int64], *, present_only: bool = False
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each score over images drawn anew with replacement, always the same ones.

    Args:
        probability: [N, classes].
        label: [N].
        present_only: see `scores_from_confusion`.

    Source: Efron 1979, Bootstrap Methods: Another Look at the Jackknife; its percentiles.
    """
    count, classes = probability.shape
    times = RESAMPLES if classes == 2 else RESAMPLES_OF_MANY
    chosen = np.random.default_rng(0).integers(count, size=(times, count))
    if classes == 2:
        said = torch.from_numpy(probability[:, 1][chosen]).float()
        found = compute_scores(said, torch.from_numpy(label[chosen]), classes=2)
    else:
        found = _of_many(probability.astype(np.float32), label, chosen, present_only=present_only)
    intervals = {}
    for name, values in found.items():
        there = [value for value in values if value == value]
        if there:
            low, high = np.percentile(there, [2.5, 97.5])
            intervals[name] = float(low), float(high)
    return intervals


def _of_many(
    probability: NDArray[np.float32], label: NDArray[np.int64], chosen: NDArray[np.int64], *, present_only: bool
) -> dict[str, list[float]]:
    """Scores of each resample, without a copy of its probabilities."""
    classes = probability.shape[1]
    predicted, true = torch.from_numpy(probability.argmax(1)), torch.from_numpy(label)
    rows = [
        scores_from_confusion(predicted[some], true[some], classes=classes, present_only=present_only)
        for some in torch.from_numpy(chosen)
    ]
    whole = np.array([row["balanced_accuracy"] == row["balanced_accuracy"] for row in rows])
    found = {name: [row[name] for row in rows] for name in rows[0]}
    return found | {"auroc": _aurocs(probability, label, chosen[whole]).tolist()}


def _aurocs(
    probability: NDArray[np.float32], label: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean over classes of the area under each one's ROC curve, of resamples that have them all: how often a
    resample has an image is its weight.
    """
    count, classes = probability.shape
    if not len(chosen):
        return np.empty(0)
    times = np.stack([np.bincount(some, minlength=count) for some in chosen], axis=1).astype(np.float32)
    total: NDArray[np.float64] = np.zeros(len(chosen))
    for place in range(classes):
        positive = label == place
        weight, negatives = times[positive], count - times[positive].sum(0, dtype=np.float64)
        halves = (weight * _below(probability[:, place], positive, times)).sum(0, dtype=np.float64)
        total += halves / (2 * (count - negatives) * negatives) / classes
    return total


def _below(value: NDArray[np.float32], positive: NDArray[np.bool_], times: NDArray[np.float32]) -> NDArray[np.float32]:
    """[positives, resamples]: twice the weight of the negative images below each positive one, a tie being half. Whole
    numbers: however they are added up, the same.

    Args:
        times: [N, resamples].
    """
    marks, found = value[positive], times[:0]
    if len(marks) <= FEW:
        each = (value < marks[:, None]).astype(np.float32) + (value <= marks[:, None])
        each[:, positive] = 0
        found = each @ times
    else:
        order = np.argsort(value, kind="stable")
        weight = np.where(positive[order, None], 0, times[order])
        below = np.concatenate([np.zeros_like(weight[:1]), np.cumsum(weight, axis=0)])
        least, most = (np.searchsorted(value[order], marks, side) for side in ("left", "right"))
        found = below[least] + below[most]
    return found
