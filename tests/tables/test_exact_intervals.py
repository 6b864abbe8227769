"""Exact intervals are SciPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from copycat.tables.exact_intervals import beta_quantile, clopper_pearson, coverage_interval, covered_interval


@given(st.integers(1, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_clopper_pearson_is_scipy_s(pair: tuple[int, int]) -> None:
    count, total = pair
    expected = stats.binomtest(count, total).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(0.001, 0.999), st.integers(1, 300), st.integers(1, 300))
def test_a_quantile_is_scipy_s(share: float, a: int, b: int) -> None:
    assert beta_quantile(share, a, b) == pytest.approx(stats.beta.ppf(share, a, b), abs=1e-9)


def test_what_fifty_images_allow_is_a_beta_and_a_beta_binomial_distribution() -> None:
    rank, calibrated_on, images = 46, 50, 50  # the 46th of 50 scores is that of a coverage of 0.9
    expected = stats.beta.ppf([0.025, 0.975], rank, calibrated_on + 1 - rank)
    assert coverage_interval(rank, calibrated_on) == pytest.approx(tuple(expected), abs=1e-9)
    low, high = covered_interval(rank, calibrated_on, images)
    covered = stats.betabinom(images, rank, calibrated_on + 1 - rank)
    assert (low * images, high * images) == pytest.approx(tuple(covered.ppf([0.025, 0.975])))


def test_many_images_take_no_overflow() -> None:
    low, high = clopper_pearson(90_000, 100_000)
    assert (low, high) == pytest.approx((0.8981, 0.9019), abs=1e-4)
    assert np.allclose(covered_interval(901, 1000, 100_000), (0.88, 0.918), atol=0.003)
