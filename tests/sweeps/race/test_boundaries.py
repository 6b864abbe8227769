"""Levels of a race's rounds: together they err as often as they may, whatever the number of rounds."""

from statistics import NormalDist

import numpy as np
import pytest

from copycat.sweeps.race.boundaries import SPENDING_POWER, information, nominal_levels


@pytest.mark.parametrize(("rounds", "folds"), [(1, 5), (6, 5), (20, 10), (6, 2)])
def test_the_tests_of_all_rounds_together_err_at_the_level_that_was_spent(rounds: int, folds: int) -> None:
    """Means of values that correlate by 1 / folds, as Nadeau and Bengio assume, are drawn without the module."""
    level, count = 0.05, 200_000
    rng = np.random.default_rng(rounds * 100 + folds)
    common = rng.normal(size=(count, 1)) * np.sqrt(1 / folds)
    own = rng.normal(size=(count, rounds)) * np.sqrt((1 - 1 / folds) / folds)  # a round's mean of its folds
    sums = np.cumsum(own, axis=1) / np.arange(1, rounds + 1) + common
    errors = np.sqrt((1 - 1 / folds) / (folds * np.arange(1, rounds + 1)) + 1 / folds)
    bounds = np.array([NormalDist().inv_cdf(1 - one) for one in nominal_levels(rounds, folds, level)])
    share = float((sums / errors > bounds).any(axis=1).mean())
    spent = level * information(rounds, folds) ** SPENDING_POWER
    assert share == pytest.approx(spent, abs=4 * np.sqrt(spent / count))


def test_more_rounds_do_not_change_the_levels_of_the_first_ones() -> None:
    """Else a race would have to know its last round."""
    assert nominal_levels(4, 5, 0.003) == pytest.approx(nominal_levels(30, 5, 0.003)[:4], rel=0.01)


def test_information_grows_to_a_limit_that_no_number_of_rounds_passes() -> None:
    shares = [information(number, 5) for number in (1, 2, 10, 1000)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx((1 / 4) / (1 / 5 + 1 / 4))
    assert 0.99 < shares[-1] < 1
