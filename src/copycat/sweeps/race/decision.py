"""Decide which candidates of a race leave, and when it is over, from the values of their runs alone.

After each round every two remaining candidates are compared by a paired t test over all rounds and folds so far, with
Nadeau and Bengio's correction, as the folds' training images overlap. A candidate leaves where another one is better at
the level of the round. The best candidate leaves with a probability of `LEVEL` at most, for any number of rounds: its
tests share `LEVEL` equally, and one more share keeps equal candidates from having a winner more often than that.

Sources: Nadeau, Bengio 2003, Machine Learning 52, 239; Bouckaert, Frank 2004, PAKDD, 3 (repeated folds); Maron, Moore
1994, NIPS 6, 59 (races); Jennison, Turnbull 2000, Group Sequential Methods, 4.4 (levels for t tests).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import fmean, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from copycat.sweeps.race.boundaries import nominal_levels
from copycat.tables.statistics import student_quantile

LEVEL = 0.05
"""Probability that a race errs, at most."""
Pair = tuple[int, int]
"""Round from 1, and fold from 0: the candidates' runs of one pair have the same seed and the same images."""
Values = Mapping[Pair, float]
"""Values of a candidate, the larger the better."""
Verdict = Literal["open", "best", "tied", "undecided", "failed"]
"""`best`: one remains; `tied`: the others are within the margin of the best; `undecided`: more rounds would not help;
`failed`: each had a run that failed; `open`: none of these yet."""
FUTILE_DEVIATIONS = 2.0
FUTILE_FROM = 2
"""First round that may end a race as futile: the folds of a single one say little about the deviation."""


@dataclass(frozen=True, kw_only=True)
class RaceRules:
    """Hold the settings of a race, fixed before it."""

    folds: int
    rounds: int
    """Maximum number of rounds."""
    margin: float
    """MeanDifference that counts as none."""

    def level(self, round_number: int, candidates: int) -> float:
        """Return the one-sided level of one comparison after a round."""
        return nominal_levels(self.rounds, self.folds, LEVEL / candidates)[round_number - 1]


@dataclass(frozen=True)
class MeanDifference:
    """Hold by how much one candidate is better than another, on average over their common pairs."""

    mean: float
    deviation: float
    """Standard deviation of a pair's difference."""
    pairs: int
    folds: int

    @property
    def error(self) -> float:
        """Return the standard error of the mean, corrected for overlapping folds."""
        return self.deviation * error_factor(self.pairs, self.folds)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval that errs at `level` on either side."""
        half = critical_value(level, self.pairs) * self.error
        return self.mean - half, self.mean + half


def compare(first: Values, second: Values, folds: int) -> MeanDifference:
    """Return by how much the first is better, over the pairs of both, two or more."""
    differences = [first[pair] - second[pair] for pair in first if pair in second]
    return MeanDifference(fmean(differences), stdev(differences), len(differences), folds)


def error_factor(pairs: int, folds: int) -> float:
    """Return the standard error of a mean over repeated folds, by the standard deviation of a value."""
    return sqrt(1 / pairs + 1 / (folds - 1))


@cache
def critical_value(level: float, pairs: int) -> float:
    """Return the t above which a difference over so many pairs is significant at a one-sided level."""
    return student_quantile(1 - 2 * level, pairs - 1)


@dataclass(frozen=True)
class Round:
    """Hold the state of a race after a round."""

    number: int
    means: Mapping[int, float]
    """Mean of each candidate that ran in it, over all its rounds, the best first."""
    behind: Mapping[int, MeanDifference]
    """By how much the first of these is better than each other one."""
    level: float
    """One-sided level of a comparison."""
    left: Mapping[int, int | None]
    """Candidates that left, each with one that is better; None where a run of its own failed."""
    is_futile: bool
    """Whether no further round would let a candidate leave, or show that the others are within the margin."""
    detectable: float
    """MeanDifference to the best one that all rounds would show to be significant, for the median candidate."""

    @property
    def remaining(self) -> list[int]:
        """Return the candidates that remain, the best first."""
        return [candidate for candidate in self.means if candidate not in self.left]

    def verdict(self, margin: float) -> Verdict:
        """Return how the race stands."""
        if len(self.remaining) < 2:
            return "best" if self.remaining else "failed"
        behind = [self.behind[one].interval(self.level)[1] for one in self.remaining[1:]]
        if max(behind) <= margin:
            return "tied"
        return "undecided" if self.is_futile else "open"


def replay(values: Sequence[Values], rules: RaceRules) -> list[Round]:
    """Return the rounds that all candidates that were to run in them have run; the last one may have ended the race.

    Args:
        values: of each candidate; nan where its run failed.
        rules: of the race.
    """
    rounds: list[Round] = []
    remaining: Sequence[int] = range(len(values))
    for number in range(1, rules.rounds + 1):
        pairs = [(number, fold) for fold in range(rules.folds)]
        if any(pair not in values[candidate] for candidate in remaining for pair in pairs):
            break
        rounds.append(_judge(number, remaining, values, rules))
        remaining = rounds[-1].remaining
        if rounds[-1].verdict(rules.margin) != "open":
            break
    return rounds


def _judge(number: int, entered: Sequence[int], values: Sequence[Values], rules: RaceRules) -> Round:
    """Compare the candidates of a round over all rounds so far."""
    level = rules.level(number, len(values))
    pairs = [(each, fold) for each in range(1, number + 1) for fold in range(rules.folds)]
    table = np.array([[values[one][pair] for pair in pairs] for one in entered])
    is_sound = ~np.isnan(table).any(1)
    left: dict[int, int | None] = {one: None for one, sound in zip(entered, is_sound, strict=True) if not sound}
    order = [index for index in np.argsort(-table.mean(1), kind="stable") if is_sound[index]]
    ranked, table = [entered[index] for index in order], table[order]
    differences = table[:, None] - table[None]  # [better, worse, pairs]
    means, deviations = differences.mean(2), differences.std(2, ddof=1)
    errors = deviations * error_factor(len(pairs), rules.folds)
    is_better = (means > 0) & (means >= critical_value(level, len(pairs)) * errors)
    for place, one in enumerate(ranked):
        if is_better[:, place].any():
            left[one] = ranked[int(is_better[:, place].argmax())]
    behind = {
        one: MeanDifference(float(means[0, place]), float(deviations[0, place]), len(pairs), rules.folds)
        for place, one in enumerate(ranked)
        if place
    }
    stay = [place for place, one in enumerate(ranked) if one not in left]
    means, deviations = means[np.ix_(stay, stay)], deviations[np.ix_(stay, stay)]
    needed = _needed(deviations, len(values), rules)
    is_last = number == rules.rounds
    is_futile = is_last or (number >= FUTILE_FROM and _is_futile(means, deviations, needed, number, rules))
    by_rank = {one: float(mean) for one, mean in zip(ranked, table.mean(1), strict=True)}
    detectable = float(np.median(needed[0, 1:])) if len(stay) > 1 else 0.0
    return Round(number, by_rank, behind, level, left, is_futile, detectable)


def _needed(deviations: NDArray[np.float64], candidates: int, rules: RaceRules) -> NDArray[np.float64]:
    """Return the difference of the means of all rounds that is significant, by the deviation of a difference."""
    pairs = rules.rounds * rules.folds
    return critical_value(rules.level(rules.rounds, candidates), pairs) * error_factor(pairs, rules.folds) * deviations


def _is_futile(
    means: NDArray[np.float64],
    deviations: NDArray[np.float64],
    needed: NDArray[np.float64],
    number: int,
    rules: RaceRules,
) -> bool:
    """Return whether the remaining rounds are unlikely to change anything.

    The mean of all rounds exceeds that of the rounds so far by FUTILE_DEVIATIONS of its standard deviation in one of 40
    cases.
    """
    change = FUTILE_DEVIATIONS * sqrt(1 / (number * rules.folds) - 1 / (rules.rounds * rules.folds)) * deviations
    could_leave = (means + change > needed)[deviations > 0].any()
    could_tie = (np.abs(means[0]) - change[0] + needed[0] <= rules.margin).all() if len(means) else False
    return not could_leave and not could_tie
