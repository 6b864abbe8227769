"""Propose trials by a search: unfinished ones of a killed sweep first, then the sampler's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from copycat.config.printable import print_line
from copycat.config.search_space import SearchSpace
from copycat.config.search_space_builder import is_grid_search
from copycat.config.suggestions import pluralize
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import ENDED, Trial, read_own_trial, read_trial
from copycat.sweeps.job import Job, recorded_job
from copycat.sweeps.search.objectives import compute_violations, get_objectives, read_values
from copycat.sweeps.search.parameters import draw_overrides, make_parameters
from copycat.sweeps.search.storage import flushed_once
from copycat.sweeps.search.study import (
    OWNER,
    SamplerFactory,
    get_running_trial,
    get_trial,
    open_study,
    restore,
    restore_rungs,
)

ORPHANED = 60.0
"""Seconds after which a sweep takes over a trial without an owner in a shared study."""
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Search:
    """Propose trials by an Optuna study, and report their results to it.

    `owner`, the id of the sweep, marks its trials in a study that several sweeps share.

    Raises:
        UserError: if study, sampler and space are incompatible.
    """

    def __init__(
        self, space: SearchSpace, folder: Path, sweeper: Mapping[str, Any], settings: Mapping[str, Any], *, owner: str
    ) -> None:
        """Open the study, and add trials that only the folder has."""
        self.space, self.folder, self.sweeper, self.settings, self.owner = space, folder, sweeper, settings, owner
        self.wanted = get_objectives(settings)
        self.constraints = settings["constraints"]
        self.study = open_study(sweeper, folder, directions=list(self.wanted.values()))
        self.study.stop = lambda: None  # type: ignore[method-assign]  # a sampler calls it once it has tried all
        self._parameters = make_parameters(space, self.study)
        self._sampler = SamplerFactory(sweeper, constrained=bool(self.constraints)).make
        self.study.sampler = self._sampler(0)
        restored = restore(
            self.study,
            folder,
            space,
            self._parameters,
            objective=next(iter(self.wanted)),
            attributes={OWNER: owner},
            is_shared=sweeper["storage"] is not None,
        )
        if restored:
            print_line(f"copycat: {pluralize(len(restored), 'trial')} taken into the study from {folder}", error=True)
        self._pending = self._find_unfinished(restored)

    def next(self) -> Job | None:
        """Return the next trial; None if the requested number of trials is reached."""
        with flushed_once(self.study._storage):
            return self._next()

    def _next(self) -> Job | None:
        if self._pending:
            return self._resume_job(self._pending.pop(0))
        trials = self.study.get_trials(deepcopy=False)
        if len(trials) >= self.sweeper["n_trials"] or self._is_exhausted(trials):
            return None
        self.study.sampler = self._sampler(len(trials))
        trial = self.study.ask()
        if trial.number >= self.sweeper["n_trials"]:  # another sweep of the same study was faster
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr(OWNER, self.owner)
        return self._make_job(trial)

    def _is_exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a grid is exhausted: its sampler would repeat trials."""
        if not is_grid_search(self.sweeper):
            return False
        return len({tuple(sorted(trial.params.items())) for trial in trials}) >= len(self.space.grid())

    def _resume_job(self, frozen: FrozenTrial) -> Job:
        own = read_own_trial(self.folder / str(frozen.number))
        if own is not None:
            return recorded_job(own, self.space.fixed)
        return self._make_job(get_running_trial(self.study, frozen.number))  # its record is missing, or was changed

    def _make_job(self, trial: optuna.Trial) -> Job:
        self.study.sampler = self._sampler(trial.number)
        words = draw_overrides(trial, self.space, self._parameters, sampler=partial(self._sampler, trial.number))
        return Job(trial.number, [*self.space.fixed, *words], self.space.values(words))

    def mark_done(self, job: Job, trial: Trial) -> None:
        """Report a trial that ended to the study, unless it is reported."""
        frozen = get_trial(self.study, job.number)
        if not frozen.state.is_finished():
            self._report(frozen, trial)

    def _report(self, frozen: FrozenTrial, trial: Trial) -> None:
        with flushed_once(self.study._storage):
            self._report_all(frozen, trial)

    def _report_all(self, frozen: FrozenTrial, trial: Trial) -> None:
        running = optuna.Trial(self.study, frozen._trial_id)
        if self.constraints and trial.status != "failed":
            folder = self.folder / str(trial.number)
            metrics = read_values(folder, read_manifest(folder), self.wanted)
            for constraint, violation in compute_violations(self.constraints, metrics).items():
                running.set_constraint(constraint, violation)
        if trial.error:
            running.set_user_attr("error", trial.error)
        values = list(trial.objectives.values()) if trial.status == "completed" else None
        self.study.sampler = self._sampler(trial.number)
        self.study.tell(running, values, state=STATES[trial.status])

    def _find_unfinished(self, restored: range) -> list[FrozenTrial]:
        """Return the trials of this sweep that have not ended; report those that have to the study."""
        unfinished = []
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state.is_finished() or not self._is_own(frozen):
                continue
            try:
                trial = read_trial(self.folder / str(frozen.number))
            except (OSError, ValueError):
                trial = None
            if trial is not None and frozen.number in restored:
                restore_rungs(self.study, frozen, trial.status, self.sweeper)
            if trial is not None and trial.status in ENDED:
                self._report(frozen, trial)
            else:
                unfinished.append(frozen)
        return unfinished

    def _is_own(self, frozen: FrozenTrial) -> bool:
        owner = frozen.user_attrs.get(OWNER)
        if owner is not None:
            return bool(owner == self.owner)
        # killed between `ask` and `set_user_attr`; in a shared study another sweep may be about to set it
        began = frozen.datetime_start
        alone = self.sweeper["storage"] is None
        if not (alone or began is None or (datetime.now() - began).total_seconds() > ORPHANED):
            return False
        optuna.Trial(self.study, frozen._trial_id).set_user_attr(OWNER, self.owner)
        return True
