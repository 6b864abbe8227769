"""Intervals are those of the literature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.tables.statistics import (
    Direction,
    difference_p_value,
    find_best,
    mean_interval,
    wilson_interval,
)


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


VALUES = st.dictionaries(st.integers(0, 8), st.integers(-50, 50), min_size=1, max_size=8)


@given(VALUES, VALUES)
def test_the_p_value_of_a_difference_is_that_of_scipy(first: dict[int, int], second: dict[int, int]) -> None:
    from scipy.stats import t, ttest_ind, ttest_rel  # takes a second

    found = difference_p_value(first, second)
    common = sorted(first.keys() & second.keys())
    if len(common) >= 2:
        differences = [first[key] - second[key] for key in common]
        if len(set(differences)) == 1:
            assert found == (1 if differences[0] == 0 else 0)
            return
        expected = ttest_rel([first[key] for key in common], [second[key] for key in common]).pvalue
    elif min(len(first), len(second)) >= 2:
        values = list(first.values()), list(second.values())
        if min(len(set(one)) for one in values) == 1:  # SciPy warns
            return
        test = ttest_ind(*values, equal_var=False)
        expected = 2 * t.sf(abs(test.statistic), int(test.df + 1e-9))
    else:
        assert found is None
        return
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_overlap_adds_its_share_of_the_variance(overlap: float) -> None:
    from scipy.stats import t

    first, second = {0: 0.1, 1: 0.4, 2: 0.2}, {0: 0.2, 1: 0.6, 2: 0.25}
    differences = [first[key] - second[key] for key in first]
    statistic = np.mean(differences) / np.sqrt(np.var(differences, ddof=1) * (1 / 3 + overlap))
    assert difference_p_value(first, second, overlap=overlap) == pytest.approx(2 * t.sf(abs(statistic), 2), rel=1e-6)


@given(st.lists(VALUES, min_size=1, max_size=6), st.sampled_from(["minimize", "maximize"]))
def test_the_best_has_the_best_mean_and_holm_decides_what_is_close(
    configurations: list[dict[int, int]], direction: Direction
) -> None:
    best, close = find_best(configurations, direction)
    means = [np.mean(list(values.values())) for values in configurations]
    assert means[best] == pytest.approx(min(means) if direction == "minimize" else max(means))
    others = [place for place in range(len(means)) if place != best]
    p_values = {place: difference_p_value(configurations[place], configurations[best]) for place in others}
    tested = {place: p for place, p in p_values.items() if p is not None}
    for place in others:  # adjusted as in the definition: the largest of the products up to its rank
        if place not in tested:
            assert place in close
            continue
        smaller = [p for p in sorted(tested.values()) if p <= tested[place]]
        adjusted = max(p * (len(tested) - sum(q < p for q in tested.values())) for p in smaller)
        if abs(adjusted - 0.05) > 1e-9:
            assert (place in close) == (adjusted >= 0.05)
