"""Spend an error rate over the rounds of a race, so that looking after each round does not raise it.

The share of the information that the rounds can ever give is known: the folds of all rounds have the same images, so
that the variance of a mean over rounds has a floor. Alpha is spent in proportion to the cube of this share.

Sources: Lan, DeMets 1983, Biometrika 70, 659 (spending); Kim, DeMets 1987, Biometrika 74, 149 (the power family);
Armitage, McPherson, Rowe 1969, J. R. Stat. Soc. A 132, 235 (the integration).
"""

from functools import cache
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

SPENDING_POWER = 3
"""Power of the information's share: small in the first rounds, whose few folds estimate a variance badly."""
STEPS_PER_DEVIATION = 24
"""Steps of the integration in the smallest standard deviation of a round."""
TAIL = 8.0
"""Standard deviations beyond which the integration stops."""


def information(round_number: int, folds: int) -> float:
    """Return the share of all information that rounds 1 to `round_number` give, in (0, 1).

    It is the inverse of the variance of a mean over rounds · folds differences by Nadeau and Bengio's correction,
    1 / (rounds · folds) + 1 / (folds - 1), over its limit for infinitely many rounds.
    """
    return 1 / (1 + (folds - 1) / (folds * round_number))


@cache
def nominal_levels(rounds: int, folds: int, level: float) -> tuple[float, ...]:
    """Return the one-sided level of the test after each round, so that all of them together err at `level` at most.

    Args:
        rounds: number of rounds, 1 or more.
        folds: folds of a round, 2 or more.
        level: one-sided error rate of infinitely many rounds.
    """
    shares = [information(number, folds) for number in range(1, rounds + 1)]
    steps = np.diff([0.0, *shares])
    width = sqrt(steps.min()) / STEPS_PER_DEVIATION
    grid = np.arange(-TAIL, TAIL, width)
    edges = grid - width / 2
    density, levels, spent = np.zeros(0), list[float](), 0.0
    for step, share in zip(steps, shares, strict=True):
        deviation = sqrt(step)
        if not levels:
            density = _normal_density(grid, deviation)
        else:
            half = ceil(TAIL * deviation / width)
            reach = np.arange(-half, half + 1, dtype=np.float64) * width
            density = np.convolve(density, _normal_density(reach, deviation), mode="same") * width
        wanted = level * share**SPENDING_POWER - spent
        above = np.cumsum(density[::-1])[::-1] * width  # the chance to be above a cell's lower edge, not stopped before
        bound = float(np.interp(-wanted, -above, edges))
        levels.append(1 - NormalDist().cdf(bound / sqrt(share)))
        spent = level * share**SPENDING_POWER
        density = density * np.clip((bound - edges) / width, 0, 1)
    return tuple(levels)


def _normal_density(values: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * (values / deviation) ** 2) / (deviation * sqrt(2 * np.pi))
