"""Metrics: the direction in which each improves, formatting, intervals and tests."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import atan, comb, cos, pi, sin, sqrt
from statistics import NormalDist, fmean, stdev, variance
from typing import Any, Literal, TypeVar

from copycat.config.metric_names import find_mode

Name = TypeVar("Name")
Direction = Literal["minimize", "maximize"]
CLOSE = "†"
"""Mark of what is not distinguishable from the best."""


def natural_direction(name: str, nodes: Mapping[str, Mapping[str, Any]] = {}) -> Direction:
    """Return the direction in which a metric improves: losses, sizes and times are minimized, others maximized.

    `nodes` are those of the group `metrics`, which state the direction of theirs.
    """
    return "minimize" if find_mode(name, nodes) == "min" or name in ("parameters", "seconds") else "maximize"


def direction_sign(direction: Direction) -> int:
    """Return the factor by which the best value becomes the smallest."""
    return 1 if direction == "minimize" else -1


def format_number(value: float | None) -> str:
    """Format a measured value briefly."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.6g}"


@lru_cache(4096)  # a table of many runs has few accuracies of few numbers of images
def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of a proportion, in [0, 1], of a number of trials.

    Source: E. B. Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Compute the 95 % interval of the mean of normally distributed values by Student's t; None for fewer than two.

    Source: Student 1908, Biometrika 6, 1.
    """
    if len(values) < 2:
        return None
    half = student_quantile(0.95, len(values) - 1) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def student_quantile(probability: float, freedom: int) -> float:
    """Return the t within which, on either side of 0, Student's t lies with a probability, with whole freedom."""
    low, high = 0.0, 1.0
    while _student_probability(high, freedom) < probability:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_probability(middle, freedom) < probability else (low, middle)
    return high


def student_p_value(t: float, freedom: int) -> float:
    """Compute the two-sided p-value of Student's t with whole degrees of freedom."""
    return max(0.0, 1 - _student_probability(min(abs(t), 1e9), freedom))


def difference_p_value(
    first: Mapping[Any, float], second: Mapping[Any, float], *, overlap: float = 0.0
) -> float | None:
    """Compute the two-sided p-value of the hypothesis that two configurations have the same mean.

    It is that of a paired t test over the repeats that both have, such as seeds and folds, where there are two or more;
    else of Welch's t test, with its degrees of freedom rounded down; None where one has a single run.

    Args:
        first: values by repeat.
        second: values by repeat.
        overlap: number of validation images by that of training images, where folds repeat the runs: as their training
            images overlap, the variance of the mean is larger by this share of the variance of the differences.

    Source: Welch 1947, Biometrika 34, 28; Nadeau, Bengio 2003, Machine Learning 52, 239.
    """
    common = first.keys() & second.keys()
    if len(common) >= 2:
        differences = [first[repeat] - second[repeat] for repeat in common]
        mean, freedom = fmean(differences), len(differences) - 1
        squared_error = variance(differences, mean) * (1 / len(differences) + overlap)
    elif len(first) >= 2 and len(second) >= 2:
        mean = fmean(first.values()) - fmean(second.values())
        errors = [variance(values.values()) * (1 / len(values) + overlap) for values in (first, second)]
        squared_error = sum(errors)
        shares = [error**2 / (len(values) - 1) for error, values in zip(errors, (first, second), strict=True)]
        freedom = int(squared_error**2 / sum(shares)) if sum(shares) else 1
    else:
        return None
    if not squared_error:
        return 1.0 if not mean else 0.0
    return student_p_value(mean / sqrt(squared_error), freedom)


def find_best(
    configurations: Sequence[Mapping[Any, float]],
    direction: Direction,
    *,
    overlap: float = 0.0,
    level: float = 0.05,
) -> tuple[int, list[int]]:
    """Find the configuration with the best mean, and those that are not distinguishable from it.

    Each is compared with the best by `difference_p_value`, at a family-wise error rate of `level` by Holm's method. One
    with too few runs for a test is not distinguishable.

    Args:
        configurations: values by repeat, one or more each.
        direction: of the metric.
        overlap: as for `difference_p_value`.
        level: of significance.

    Returns:
        The index of the best, and the indices of those not distinguishable from it, in ascending order.
    """
    sign = direction_sign(direction)
    means = [sign * fmean(values.values()) for values in configurations]
    best = means.index(min(means))
    others = [index for index in range(len(means)) if index != best]
    p_values = {i: difference_p_value(configurations[i], configurations[best], overlap=overlap) for i in others}
    distinguished = reject_by_holm({i: p for i, p in p_values.items() if p is not None}, level=level)
    return best, [index for index in others if index not in distinguished]


def reject_by_holm(p_values: Mapping[Name, float], *, level: float = 0.05) -> set[Name]:
    """Return the hypotheses that Holm's method rejects at a family-wise error rate of `level`.

    Source: Holm 1979, Scand. J. Statist. 6, 65.
    """
    rejected = set[Name]()
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        if p_values[name] * (len(p_values) - rank) >= level:
            break
        rejected.add(name)
    return rejected


def _student_probability(t: float, freedom: int) -> float:
    """Compute the probability that Student's t lies between -t and t.

    Source: Abramowitz, Stegun 1964, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = atan(t / sqrt(freedom))
    is_odd = freedom % 2
    term = total = (cos(angle) if freedom > 1 else 0.0) if is_odd else 1.0
    for k in range(2 + is_odd, freedom, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if is_odd else sin(angle) * total


def mcnemar_p_value(first: int, second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test for two networks on the same images.

    It takes the numbers of images that only the first, and only the second, classifies correctly.

    Source: McNemar 1947, Psychometrika 12, 153; by the binomial distribution, which his approximates for large counts.
    """
    count, fewer = first + second, min(first, second)
    p: float = 2 * sum(comb(count, k) for k in range(fewer + 1)) / 2**count
    return min(1.0, p)


def describe_mcnemar(a: str, b: str, first: int, second: int) -> str:
    """Describe McNemar's test of `a` and `b` in one sentence; `first` and `second` as in `mcnemar_p_value`."""
    return (
        f"of the same images, only {a} classifies {first} correctly, and only {b} {second}:"
        f" p = {mcnemar_p_value(first, second):.2g} by McNemar's exact test"
    )
