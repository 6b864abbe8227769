"""Decide by class probabilities: the predicted class or classes, by costs or thresholds, and conformal sets.

It lies beside exported networks too, whose script decides by it: it imports nothing of Copycat.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDING = 1e-5
"""Differences of probabilities that count as rounding: a class at the limit is in a set."""
DEFAULT_THRESHOLD = 0.5
"""Probability above which a class is predicted of images that may have several."""
SEPARATOR, NO_CLASS = ";", "none"
"""Between the predicted classes of an image, and what is said of one without."""
Doubles = NDArray[np.float64]


def decide(
    probability: ArrayLike,
    *,
    costs: ArrayLike | None = None,
    positive: int | None = None,
    threshold: float | None = None,
    **_: Any,
) -> NDArray[np.int64]:
    """Return the predicted label of each image, [N].

    By costs it is the class of the smallest expected cost; by a threshold it is `positive` from that probability on,
    else the most probable of the others; without either it is the most probable class.

    Shapes: probability [N, classes]; costs [classes, classes], of each predicted class (column) by true class (row).

    Source: Elkan 2001, The Foundations of Cost-Sensitive Learning, section 2.1.
    """
    values: Doubles = np.asarray(probability, dtype=np.float64)
    if costs is not None:
        return np.asarray((values @ np.asarray(costs, dtype=np.float64)).argmin(1))
    if threshold is None or positive is None:
        return np.asarray(values.argmax(1))
    others = values.copy()
    others[:, positive] = -1
    return np.where(values[:, positive] >= threshold - ROUNDING, positive, others.argmax(1))


def decide_labels(probability: ArrayLike, *, thresholds: ArrayLike, **_: Any) -> NDArray[np.bool_]:
    """Return which classes are predicted of images that may have several: those above their thresholds.

    Shapes: probability [N, classes] and thresholds [classes] -> [N, classes].
    """
    return np.asarray(probability, dtype=np.float64) > np.asarray(thresholds, dtype=np.float64)


def join_names(names: Iterable[str]) -> str:
    """Join the names of an image's classes by `;`; `none` where there are none."""
    return SEPARATOR.join(names) or NO_CLASS


def score_classes(probability: ArrayLike, *, sets: str) -> Doubles:
    """Return the nonconformity score of each class as the true one, [N, classes]: the larger, the less it conforms.

    For `lac` it is 1 minus the class's probability; for `aps` it is the sum of the probabilities down to the class's,
    without randomization.

    Source: Sadinle, Lei, Wasserman 2019, Least Ambiguous Set-Valued Classifiers with Bounded Error Levels; Romano,
    Sesia, Candès 2020, Classification with Valid and Adaptive Coverage.
    """
    values: Doubles = np.asarray(probability, dtype=np.float64)
    if sets == "lac":
        return 1 - values
    order = np.argsort(-values, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(values, order, axis=1), axis=1)
    return np.take_along_axis(sums, np.argsort(order, axis=1, kind="stable"), axis=1)


def make_sets(
    probability: ArrayLike, *, sets: str = "lac", quantile: float | None = None, **_: Any
) -> NDArray[np.bool_] | None:
    """Return which classes are in the conformal set of each image, [N, classes]; None without a quantile.

    A set always has the most probable class, so that none is empty: that can only raise the coverage.
    """
    if quantile is None:
        return None
    values: Doubles = np.asarray(probability, dtype=np.float64)
    inside = score_classes(values, sets=sets) <= quantile + ROUNDING
    inside[np.arange(len(inside)), values.argmax(1)] = True
    return inside


def describe_decision(names: Sequence[str], probability: ArrayLike, rule: Mapping[str, Any]) -> list[str]:
    """Return lines on the first image: its class, where a rule decides on it, and its set."""
    lines = []
    if "thresholds" in rule:
        decided = decide_labels(probability, **rule)[0]
        lines.append(f"predicted: {join_names(name for name, has in zip(names, decided, strict=True) if has)}")
    if "costs" in rule or "threshold" in rule:
        lines.append(f"predicted: {names[decide(probability, **rule)[0]]}")
    if (inside := make_sets(probability, **rule)) is not None:
        lines.append(f"set: {describe_set(names, inside[0])}")
    return lines


def describe_set(names: Sequence[str], inside: ArrayLike) -> str:
    """Return the only class of a set, or that it is not sure, with the classes between which."""
    kept = [name for name, has in zip(names, np.asarray(inside), strict=True) if has]
    return kept[0] if len(kept) == 1 else f"not sure: {', '.join(kept)}"
