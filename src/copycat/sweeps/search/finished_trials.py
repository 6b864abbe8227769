"""Read each finished trial of a study once, for a sampler that would read all of them for each proposal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe import sampler as optuna_tpe
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

Numbers = NDArray[np.intp]
"""Numbers of trials, ascending."""
Floats = NDArray[np.float64]


class Kind(IntEnum):
    """Tell how a trial ranks: completed trials first, then pruned ones, then those that violate a constraint."""

    UNRANKED = 0
    """Not finished, or failed."""
    COMPLETED = 1
    PRUNED = 2
    INFEASIBLE = 3


@dataclass
class _Column:
    """Hold the values of a parameter by trial number; NaN for a trial without it."""

    distribution: BaseDistribution
    values: Floats
    read: int = 0
    """Number of finished trials whose values it has, in the order in which they ended."""


@dataclass
class FinishedTrials:
    """Hold the properties of a study's finished trials that a sampler needs, which never change."""

    _unfinished: list[int] = field(default_factory=list)
    _seen: int = 0
    _finished: list[FrozenTrial] = field(default_factory=list)
    """In the order in which they were read."""
    _kinds: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    _scores: Floats = field(default_factory=lambda: np.zeros(0))
    """Objective of a completed trial, violation of an infeasible one."""
    _pruned: dict[int, tuple[float, float]] = field(default_factory=dict)
    _columns: dict[str, _Column] = field(default_factory=dict)
    _groups: dict[frozenset[str], FrozenTrial] = field(default_factory=dict)
    """The first trial with each set of parameters."""

    def update(self, study: Study, trials: Sequence[FrozenTrial]) -> bool:
        """Read the trials that finished since the last call; return whether all could be.

        `trials` are all of the study by their numbers. A database may show a trial before one with a lower number.
        """
        if trials and trials[-1].number != len(trials) - 1:
            return False
        waiting = [number for number in self._unfinished if number < len(trials)]
        later = [number for number in self._unfinished if number >= len(trials)]
        fresh = range(self._seen, len(trials))
        self._seen = max(self._seen, len(trials))
        self._kinds = _lengthen(self._kinds, self._seen, 0)
        self._scores = _lengthen(self._scores, self._seen, np.nan)
        unfinished = [number for number in (*waiting, *fresh) if not self._read(study, trials[number])]
        self._unfinished = [*unfinished, *later]
        return True

    def _read(self, study: Study, trial: FrozenTrial) -> bool:
        """Read a trial if it is finished; return whether it is."""
        if not trial.state.is_finished():
            return False
        if trial.state == TrialState.FAIL:
            return True
        self._finished.append(trial)
        names, number = frozenset(trial.distributions), trial.number
        if names not in self._groups or self._groups[names].number > number:
            self._groups[names] = trial
        if (violation := optuna_tpe._get_infeasible_trial_score(trial)) > 0:
            kind, self._scores[number] = Kind.INFEASIBLE, violation
        elif trial.state == TrialState.COMPLETE:
            kind = Kind.COMPLETED
            if len(trial.values) == 1:
                self._scores[number] = trial.values[0]
        else:
            kind = Kind.PRUNED
            if not study._is_multi_objective():
                self._pruned[number] = optuna_tpe._get_pruned_trial_score(trial, study)
        self._kinds[number] = kind
        return True

    def first_of_each_group(self) -> list[Mapping[str, BaseDistribution]]:
        """Return the distributions of the first trial with each set of parameters, by their numbers."""
        return [trial.distributions for trial in sorted(self._groups.values(), key=lambda trial: trial.number)]

    def unfinished(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that had not finished at the last update, by their numbers."""
        return [trials[number] for number in sorted(self._unfinished) if number < len(trials)]

    def ranked(self) -> Numbers:
        """Return the numbers of all trials that completed or were pruned."""
        return np.flatnonzero(self._kinds[: self._seen])

    def split(self, n_below: int, *, maximize: bool) -> tuple[Numbers, Numbers]:
        """Split the ranked trials of one objective into the best ones and the others, as Optuna's TPE does."""
        kinds = self._kinds[: self._seen]
        completed, infeasible = np.flatnonzero(kinds == Kind.COMPLETED), np.flatnonzero(kinds == Kind.INFEASIBLE)
        losses = -self._scores[completed] if maximize else self._scores[completed]
        pruned = np.flatnonzero(kinds == Kind.PRUNED)
        below = [completed[np.argsort(losses, kind="stable")][:n_below]]
        if (left := n_below - len(completed)) > 0:
            below.append(np.array(sorted(pruned.tolist(), key=self._pruned.__getitem__)[:left], np.intp))
        if (left := left - len(pruned)) > 0:
            below.append(infeasible[np.argsort(self._scores[infeasible], kind="stable")][:left])
        is_below = np.zeros(self._seen, bool)
        is_below[np.concatenate(below)] = True
        return np.flatnonzero(is_below), np.flatnonzero((kinds != Kind.UNRANKED) & ~is_below)

    def values(self, space: Mapping[str, BaseDistribution], numbers: Numbers) -> tuple[dict[str, Floats], Numbers]:
        """Return the parameters of those trials that have all of a space, in Optuna's numbers, and their numbers."""
        columns = {name: self._column(name, distribution)[numbers] for name, distribution in space.items()}
        has_all = np.ones(len(numbers), bool)
        for values in columns.values():
            has_all &= ~np.isnan(values)
        return {name: values[has_all] for name, values in columns.items()}, numbers[has_all]

    def _column(self, name: str, distribution: BaseDistribution) -> Floats:
        column = self._columns.get(name)
        if column is None or column.distribution != distribution:
            column = self._columns[name] = _Column(distribution, np.zeros(0))
        column.values = _lengthen(column.values, self._seen, np.nan)
        for trial in self._finished[column.read :]:
            if name in trial.params:
                column.values[trial.number] = distribution.to_internal_repr(trial.params[name])
        column.read = len(self._finished)
        return column.values[: self._seen]


def _lengthen(values: NDArray[Any], length: int, fill: float) -> NDArray[Any]:
    """Return an array of at least a length; it doubles, so that its copies cost little over all calls."""
    if length <= len(values):
        return values
    more = np.full(max(length, 2 * len(values)) - len(values), fill, values.dtype)
    return np.concatenate([values, more])
