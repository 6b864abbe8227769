"""Propose by Optuna's TPE without reading all earlier trials for each proposal: the same values to the last bit.

All that is touched of Optuna's TPE that is not public stands here and in `finished_trials`: it has no interface for
what it computes of earlier trials, and a sweep makes a sampler for each trial, so that a resume repeats proposals.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._tpe import sampler as optuna_tpe
from optuna.search_space import IntersectionSearchSpace
from optuna.search_space.group_decomposed import _GroupDecomposedSearchSpace, _SearchSpaceGroup
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from copycat.sweeps.search.finished_trials import FinishedTrials, Floats, Numbers


class SharedTPESampler(TPESampler):
    """Propose what Optuna's TPE proposes, from finished trials that the samplers of a study share."""

    def __init__(self, *, finished: FinishedTrials, seed: int, **settings: Any) -> None:
        """Take the finished trials, and the seed and settings of Optuna's sampler."""
        super().__init__(**settings)
        self._finished = finished
        self._start(seed)

    def seeded(self, seed: int) -> Self:
        """Return a sampler of the same settings with another seed, in a tenth of the time of making one."""
        other = copy(self)
        other._start(seed)
        return other

    def _start(self, seed: int) -> None:
        """Make all that a sampler changes as it proposes."""
        self._rng, self._random_sampler = _SeededRandomState(seed), RandomSampler()
        self._random_sampler._rng = _SeededRandomState(seed)
        self._search_space, self._search_space_group = IntersectionSearchSpace(include_pruned=True), None
        if self._group:
            self._group_decomposed_search_space = _SharedSearchSpace(self._finished)

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Do what the method of Optuna's sampler does; several objectives are left to it."""
        trials = study._get_trials(deepcopy=False, use_cache=not self._constant_liar)
        if study._is_multi_objective() or not self._finished.update(study, trials):
            return super()._sample(study, trial, search_space)
        running = [other for other in self._finished.unfinished(trials) if other.state == TrialState.RUNNING]
        others = [other for other in running if other.number != trial.number] if self._constant_liar else []
        n_below = (self._gamma or optuna_tpe.default_gamma)(len(self._finished.ranked()))
        below, above = self._finished.split(n_below, maximize=study.direction == StudyDirection.MAXIMIZE)
        estimators = [
            self._parzen_estimator_cls(observations, search_space, self._parzen_estimator_parameters)
            for observations in (
                self._finished.values(search_space, below)[0],
                self._with_running(study, others, search_space, *self._finished.values(search_space, above)),
            )
        ]
        samples = estimators[0].sample(self._rng.rng, self._n_ei_candidates)
        proposed = TPESampler._compare(samples, self._compute_acquisition_func(samples, *estimators))
        return {name: of.to_external_repr(proposed[name]) for name, of in search_space.items()}

    def _with_running(
        self,
        study: Study,
        running: list[FrozenTrial],
        space: Mapping[str, BaseDistribution],
        values: dict[str, Floats],
        numbers: Numbers,
    ) -> dict[str, Floats]:
        """Add the values of running trials to those of finished ones, in the order of the trials' numbers."""
        drawn = [(trial.number, self._get_params(trial, study)) for trial in running]
        drawn = [(number, params) for number, params in drawn if space.keys() <= params.keys()]
        if not drawn:
            return values
        order = np.argsort(np.concatenate([numbers, [number for number, _ in drawn]]))
        more = {name: [of.to_internal_repr(params[name]) for _, params in drawn] for name, of in space.items()}
        return {name: np.concatenate([values[name], more[name]])[order] for name in space}


class _SharedSearchSpace(_GroupDecomposedSearchSpace):
    """Group the parameters of a study's trials: a second trial with the same ones changes no group."""

    def __init__(self, finished: FinishedTrials) -> None:
        super().__init__(include_pruned=True)
        self._finished = finished

    def calculate(self, study: Study, use_cache: bool = False) -> _SearchSpaceGroup:
        if not self._finished.update(study, study._get_trials(deepcopy=False, use_cache=use_cache)):
            return super().calculate(study, use_cache)
        group = _SearchSpaceGroup()
        for distributions in self._finished.first_of_each_group():
            group.add_distributions(dict(distributions))
        return group


class _SeededRandomState(LazyRandomState):
    """Seed the generator at its first use: of the samplers of a trial, most draw nothing."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def _set_rng(self) -> None:
        self._rng = np.random.RandomState(self._seed)
