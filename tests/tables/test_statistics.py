"""Intervals are those of the literature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.tables.statistics import mean_interval, wilson_interval


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=60, unique=True))
def test_the_interval_of_a_mean_is_that_of_scipy(values: list[int]) -> None:
    from scipy.stats import sem, t  # takes a second

    expected = t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=sem(values))
    assert mean_interval(values) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_one_value_has_no_interval() -> None:
    assert mean_interval([0.5]) is None


@given(st.integers(1, 400), st.data())
def test_wilsons_interval_is_that_of_scipy_and_holds_its_share(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    from scipy.stats import binomtest  # takes a second

    theirs = binomtest(hits, count).proportion_ci(method="wilson")
    low, high = wilson_interval(hits / count, count)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= high <= 1
