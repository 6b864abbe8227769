"""Exact intervals of a share: Clopper-Pearson's, and that of the coverage of conformal sets."""

import numpy as np
from numpy.typing import NDArray

TAIL = 0.025
"""Probability on either side of a 95 % interval."""
BISECTIONS = 50


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """Compute the exact 95 % interval of a share, of which `count` of `total` were seen.

    Source: Clopper, Pearson 1934, Biometrika 26, 404.
    """
    low = beta_quantile(TAIL, count, total - count + 1) if count else 0.0
    high = beta_quantile(1 - TAIL, count + 1, total - count) if count < total else 1.0
    return low, high


def beta_quantile(share: float, a: int, b: int) -> float:
    """Compute a quantile of the beta distribution with whole parameters, both at least 1, by its binomial tail.

    Source: Abramowitz, Stegun 1964, Handbook of Mathematical Functions, 26.5.24.
    """
    trials = a + b - 1
    successes = np.arange(a, trials + 1)
    choices = _log_choose(trials)[a:]
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        x = (low + high) / 2
        tail = np.exp(choices + successes * np.log(x) + (trials - successes) * np.log1p(-x)).sum()
        low, high = (x, high) if tail < share else (low, x)
    return high


def coverage_interval(rank: int, calibrated_on: int) -> tuple[float, float]:
    """Compute the 95 % interval of the true coverage of sets whose quantile is the rank-th smallest of n scores.

    Source: Angelopoulos, Bates 2021, A Gentle Introduction to Conformal Prediction, section 3.2: Beta(rank, n+1-rank).
    """
    a, b = rank, calibrated_on + 1 - rank
    return beta_quantile(TAIL, a, b), beta_quantile(1 - TAIL, a, b)


def covered_interval(rank: int, calibrated_on: int, images: int) -> tuple[float, float]:
    """Compute the central 95 % interval of the share of new images that such sets cover: a beta-binomial distribution.

    Source: as `coverage_interval`, appendix C.
    """
    a, b = rank, calibrated_on + 1 - rank
    covered = np.arange(images + 1)
    factorial = _log_factorials(images + calibrated_on + 1)
    log_beta = factorial[covered + a - 1] + factorial[images - covered + b - 1] - factorial[images + a + b - 1]
    log_norm = factorial[a - 1] + factorial[b - 1] - factorial[a + b - 1]
    below = np.cumsum(np.exp(_log_choose(images) + log_beta - log_norm))
    low, high = (int(np.searchsorted(below, share * below[-1])) for share in (TAIL, 1 - TAIL))
    return low / images, high / images


def _log_factorials(most: int) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def _log_choose(total: int) -> NDArray[np.float64]:
    """Return the logarithms of the binomial coefficients of `total` over 0, 1, … total."""
    factorial = _log_factorials(total)
    chosen = factorial[total] - factorial - factorial[::-1]
    return np.asarray(chosen)
