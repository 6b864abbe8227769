"""Confidence intervals of metrics by bootstrap."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.models.added_metrics import AddedMetric, compute_all
from copycat.models.metrics import compute_scores
from copycat.models.score_counts import class_scores, count_classes

RESAMPLES = 2000
FEW_RESAMPLES = 200
"""Resamples of metrics that are computed one resample at a time: for more than two classes, and added ones."""
MAX_PAIRWISE = 64
"""Images of a class, at most, that are compared pairwise with all others; larger classes are sorted."""


def bootstrap(
    probability: NDArray[np.floating],
    label: NDArray[np.int64],
    *,
    present_only: bool = False,
    added: Sequence[AddedMetric] = (),
) -> dict[str, tuple[float, float]]:
    """Compute the 95 % interval of each metric by resampling the images with replacement, with a fixed seed.

    `present_only` is as in `class_scores`; `added` are further metrics. With more than two classes, scores of a
    resample are means over the classes that it contains. A metric that is undefined in half of the resamples has no
    interval: the others would be a selection.

    Shapes: [N, classes], and [N] or [N, classes] of several classes an image.

    Source: Efron 1979, Bootstrap Methods: Another Look at the Jackknife; its percentiles.
    """
    count, classes = probability.shape
    is_binary = classes == 2 and label.ndim == 1
    times = RESAMPLES if is_binary else FEW_RESAMPLES
    chosen = np.random.default_rng(0).integers(count, size=(times, count))
    if label.ndim == 2:
        resampled = (torch.from_numpy(values[chosen]) for values in (probability.astype(np.float32), label))
        values_by_metric = compute_scores(*resampled, classes=classes)
    elif is_binary:
        positive = torch.from_numpy(probability[:, 1][chosen]).float()
        values_by_metric = compute_scores(positive, torch.from_numpy(label[chosen]), classes=2)
    else:
        values_by_metric = _multiclass_scores(probability.astype(np.float32), label, chosen, present_only=present_only)
    if added:
        images = torch.from_numpy(probability), torch.from_numpy(label)
        found = [compute_all(added, *(values[some] for values in images)) for some in chosen[:FEW_RESAMPLES]]
        values_by_metric |= {name: [row[name] for row in found] for name in found[0]}
    intervals = {}
    for name, values in values_by_metric.items():
        defined = [value for value in values if value == value]
        if len(defined) > len(values) / 2:
            low, high = np.percentile(defined, [2.5, 97.5])
            intervals[name] = float(low), float(high)
    return intervals


def _multiclass_scores(
    probability: NDArray[np.float32], label: NDArray[np.int64], chosen: NDArray[np.int64], *, present_only: bool
) -> dict[str, list[float]]:
    """Compute the metrics of each resample without copying its probabilities."""
    classes = probability.shape[1]
    predicted, true = torch.from_numpy(probability.argmax(1)), torch.from_numpy(label)
    has_all = len(np.unique(label)) == classes
    resampled = (count_classes(predicted[some], true[some], classes=classes) for some in torch.from_numpy(chosen))
    rows = [class_scores(counts, dtype=torch.float32, present_only=present_only or has_all) for counts in resampled]
    values_by_metric = {name: [row[name] for row in rows] for name in rows[0]}
    if has_all:
        areas = _aurocs(probability, label, chosen).tolist()
        values_by_metric |= {"balanced_accuracy": values_by_metric["recall"], "auroc": areas}
    return values_by_metric


def _aurocs(
    probability: NDArray[np.float32], label: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute the area under the ROC curve of each resample, as a mean over the classes that it contains.

    The weight of an image is how often a resample contains it; a resample of one class has nan.
    """
    count, classes = probability.shape
    times = np.stack([np.bincount(some, minlength=count) for some in chosen], axis=1).astype(np.float32)
    total, contained = np.zeros((2, len(chosen)))
    for place in range(classes):
        positive = label == place
        weight, negatives = times[positive], count - times[positive].sum(0, dtype=np.float64)
        halves = (weight * _weight_below(probability[:, place], positive, times)).sum(0, dtype=np.float64)
        pairs = (count - negatives) * negatives
        total += halves / np.maximum(2 * pairs, 1)
        contained += pairs > 0
    with np.errstate(invalid="ignore"):
        return np.asarray(total / contained)


def _weight_below(
    value: NDArray[np.float32], positive: NDArray[np.bool_], times: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return twice the weight of the negative images below each positive one, ties counting half.

    They are whole numbers, so that the order of addition does not matter.

    Shapes: [N], [N] and [N, resamples] -> [positives, resamples].
    """
    marks = value[positive]
    if len(marks) <= MAX_PAIRWISE:
        each = (value < marks[:, None]).astype(np.float32) + (value <= marks[:, None])
        each[:, positive] = 0
        return np.asarray(each @ times)
    order = np.argsort(value, kind="stable")
    weight = np.where(positive[order, None], 0, times[order])
    below = np.concatenate([np.zeros_like(weight[:1]), np.cumsum(weight, axis=0)])
    least, most = (np.searchsorted(value[order], marks, side) for side in ("left", "right"))
    return np.asarray(below[least] + below[most])
