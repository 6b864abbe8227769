"""Figures: which way each gets better, and how it is shown."""

from math import comb, sqrt
from statistics import NormalDist
from typing import Literal

Direction = Literal["minimize", "maximize"]


def natural(name: str) -> Direction:
    """Losses, sizes and times are to be small; the other metrics large."""
    return "minimize" if "loss" in name or name in ("parameters", "seconds") else "maximize"


def sign(direction: Direction) -> int:
    """By which a figure is multiplied so that the least is the best."""
    return 1 if direction == "minimize" else -1


def figure(value: float | None) -> str:
    """A measured value, short."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.6g}"


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of that many: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(first: int, second: int) -> float:
    """How likely two networks that are as good as each other differ at least so much, on the same images: p, two-sided
    and exact.

    Args:
        first, second: images that one alone gets right.

    Source: McNemar 1947, Psychometrika 12, 153; by the binomial distribution, as its own is near it for many alone.
    """
    count, fewer = first + second, min(first, second)
    found: float = 2 * sum(comb(count, k) for k in range(fewer + 1)) / 2**count
    return min(1.0, found)


def told_apart(a: str, b: str, first: int, second: int) -> str:
    """McNemar's test in words; of images that one alone gets right, as many."""
    return (
        f"of the same images {a} alone gets {first} right and {b} alone {second}:"
        f" McNemar's p is {mcnemar(first, second):.2g}"
    )
