"""Who leaves a race, and when it is over, by values alone."""

from collections.abc import Sequence
from math import nan, sqrt
from statistics import fmean

import numpy as np
import pytest

from copycat.sweeps.race.decision import RaceRules, Values, compare, replay

RULES = RaceRules(folds=5, rounds=6, margin=0.01)


def draw(
    means: Sequence[float], *, seed: int, rounds: int = 6, folds: int = 5, images: float = 0.05, noise: float = 0.05
) -> list[Values]:
    """Values with noise of each run, and noise of a fold that all candidates share."""
    rng = np.random.default_rng(seed)
    pairs = [(number, fold) for number in range(1, rounds + 1) for fold in range(folds)]
    shared = rng.normal(scale=images, size=len(pairs))
    own = rng.normal(scale=noise, size=(len(means), len(pairs)))
    return [dict(zip(pairs, (mean + shared + row).tolist(), strict=True)) for mean, row in zip(means, own, strict=True)]


def test_a_better_candidate_wins_and_the_worst_leave_first() -> None:
    rounds = replay(draw([0.5, 0.9, 0.7], seed=0), RULES)
    assert rounds[-1].verdict(RULES.margin) == "best"
    assert rounds[-1].remaining == [1]
    gone = [candidate for one in rounds for candidate in one.left]
    assert gone[0] == 0
    assert len(rounds) < RULES.rounds


@pytest.mark.parametrize("count", [2, 6])
def test_equal_candidates_have_a_winner_in_one_of_twenty_races_at_most(count: int) -> None:
    """A part of each difference stays in all rounds, as large as the correction assumes."""
    rng = np.random.default_rng(count)
    rules = RaceRules(folds=5, rounds=4, margin=0.0)
    won, races = 0, 600
    for seed in range(races):
        stays = rng.normal(scale=0.05 * sqrt(1 / 4), size=count)  # correlation 1 / folds of values of deviation 0.05
        values = draw(stays.tolist(), seed=seed, rounds=4, noise=0.05)
        won += replay(values, rules)[-1].verdict(rules.margin) == "best"
    assert won / races <= 0.05


def test_candidates_of_nearly_equal_values_are_tied_within_the_margin() -> None:
    values = draw([0.8, 0.8005, 0.7995], seed=1, noise=0.001)
    rounds = replay(values, RULES)
    assert rounds[-1].verdict(0.01) == "tied"
    assert len(rounds[-1].remaining) == 3
    assert replay(values, RaceRules(folds=5, rounds=6, margin=0.0))[-1].verdict(0.0) != "tied"


def test_candidates_with_the_same_values_are_tied() -> None:
    (one,) = draw([0.8], seed=2)
    rounds = replay([one, dict(one)], RaceRules(folds=5, rounds=6, margin=0.0))
    assert [len(rounds), rounds[-1].verdict(0.0)] == [1, "tied"]


def test_a_race_that_no_further_round_can_decide_ends_early() -> None:
    rounds = replay(draw([0.8, 0.801], seed=3, noise=0.2), RULES)
    assert rounds[-1].verdict(RULES.margin) == "undecided"
    assert len(rounds) < RULES.rounds
    assert rounds[-1].detectable > 0.05


def test_a_candidate_with_a_failed_run_leaves_and_a_race_of_such_ones_fails() -> None:
    values = [dict(one) for one in draw([0.9, 0.5, 0.5], seed=4)]
    values[0][1, 2] = nan
    rounds = replay(values, RULES)
    assert rounds[0].left == {0: None}
    assert 0 not in rounds[-1].means
    for one in values:
        one[1, 0] = nan
    assert replay(values, RULES)[-1].verdict(RULES.margin) == "failed"


def test_a_round_counts_once_all_its_runs_ended() -> None:
    values = [dict(one) for one in draw([0.8, 0.8], seed=5, noise=0.02)]
    del values[1][2, 4]
    assert len(replay(values, RULES)) == 1
    del values[0][1, 0]
    assert replay(values, RULES) == []


def test_a_difference_has_the_corrected_interval() -> None:
    first, second = draw([0.8, 0.7], seed=6, rounds=5)
    found = compare(first, second, 5)
    differences = [first[pair] - second[pair] for pair in first]
    assert found.mean == pytest.approx(fmean(differences))
    low, high = found.interval(0.025)
    # 2.0639 is the 97.5 % quantile of Student's t with 24 degrees of freedom, from tables
    half = 2.0639 * float(np.std(differences, ddof=1)) * sqrt(1 / 25 + 1 / 4)
    assert (low, high) == pytest.approx((found.mean - half, found.mean + half), rel=1e-4)
