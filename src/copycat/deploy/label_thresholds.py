"""Fit a threshold for each class of images that may have several, and measure decisions by them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.deploy.calibration_sample import Sample
from copycat.deploy.decision import DEFAULT_THRESHOLD, decide_labels
from copycat.models.temperature import Doubles
from copycat.tables.exact_intervals import clopper_pearson

RESAMPLES = 200
Labels = NDArray[np.int64]
Decided = NDArray[np.bool_]


def fit_thresholds(probability: Doubles, label: Labels) -> list[float]:
    """Return the threshold of each class with the largest F1 score.

    Candidates lie in the middle between two neighboring probabilities, so that no image lies on one; of equal scores
    the nearest to 0.5 is taken. A class that no image has, or all have, keeps 0.5.

    Shapes: [N, classes] each.

    Source: Lipton, Elkan, Naryanaswamy 2014, Optimal Thresholding of Classifiers to Maximize F1 Measure.
    """
    return [_fit_class(scores, true == 1) for scores, true in zip(probability.T, label.T, strict=True)]


def _fit_class(scores: Doubles, true: Decided) -> float:
    if not true.any() or true.all():
        return DEFAULT_THRESHOLD
    values = np.unique(scores)
    candidates = np.concatenate([[DEFAULT_THRESHOLD, values[0] / 2], (values[1:] + values[:-1]) / 2])
    order = np.sort(scores), np.sort(scores[true])
    claimed, hits = (len(one) - np.searchsorted(one, candidates, "right") for one in order)
    f1 = 2 * hits / (claimed + true.sum())
    best = candidates[f1 == f1.max()]
    return float(best[np.abs(best - DEFAULT_THRESHOLD).argmin()])


def cross_fit(sample: Sample) -> Decided:
    """Decide on each group of images by thresholds that are fitted on the others, [N, classes]."""
    probability, decided = np.exp(sample.logits), np.zeros(sample.logits.shape, dtype=bool)
    for group in np.unique(sample.group):
        inside = sample.group == group
        thresholds = fit_thresholds(probability[~inside], sample.label[~inside])
        decided[inside] = decide_labels(probability[inside], thresholds=thresholds)
    return decided


def measure_decisions(part: str, decided: Decided, label: Labels) -> Iterator[dict[str, Any]]:
    """Yield precision, recall and F1, means over the classes, and the share of images that are right in all classes.

    Intervals of 95 % are by bootstrap over the images, that of the last by Clopper-Pearson.
    """
    true = label == 1
    chosen = np.random.default_rng(0).integers(len(true), size=(RESAMPLES, len(true)))
    resampled = [score_decisions(decided[some], true[some]) for some in chosen]
    for name, value in score_decisions(decided, true).items():
        low, high = np.percentile([scores[name] for scores in resampled], [2.5, 97.5])
        yield _row(part, len(true), name, value, (float(low), float(high)))
    is_right = (decided == true).all(1)
    interval = clopper_pearson(int(is_right.sum()), len(is_right))
    yield _row(part, len(true), "exact_match", float(is_right.mean()), interval)


def score_decisions(decided: Decided, true: Decided) -> dict[str, float]:
    """Return precision, recall and F1, means over the classes; a ratio with denominator 0 is 0."""
    hits, claimed, positive = (values.sum(0) for values in (decided & true, decided, true))
    parts = {"precision": (hits, claimed), "recall": (hits, positive), "f1": (2 * hits, claimed + positive)}
    return {name: float((top / np.maximum(bottom, 1)).mean()) for name, (top, bottom) in parts.items()}


def describe_thresholds(thresholds: Sequence[float], classes: Sequence[str]) -> str:
    """Return the threshold of each class, in words."""
    return ", ".join(f"{name} {threshold:.4f}" for name, threshold in zip(classes, thresholds, strict=True))


def _row(part: str, images: int, metric: str, value: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {"part": part, "images": images, "metric": metric, "value": value, "low": interval[0], "high": interval[1]}
