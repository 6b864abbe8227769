"""A search as a source of trials: those of a killed sweep first, then what the sampler proposes."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from copycat.config.printable import print_line
from copycat.config.search_space import SearchSpace
from copycat.config.searches import is_grid_search
from copycat.config.suggestions import pluralize
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import ENDED, Trial, read_own_trial, read_trial
from copycat.sweeps.engine import Job, begun
from copycat.sweeps.search.objectives import measured, objectives, violations
from copycat.sweeps.search.parameters import draw, parameters
from copycat.sweeps.search.restored_trials import restore
from copycat.sweeps.search.study import ORPHANED, OWNER, VIOLATIONS, open_study, sampler_of, trial_numbered

log = logging.getLogger(__name__)
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Search:
    """Args:
    folder: the sweep's.
    sweeper: Hydra's node.
    settings: the node `sweep`.
    owner: the sweep's id, by which it knows its trials in a study that others share.

    Raises:
        UserError: where study, sampler and space do not go together.
    """

    def __init__(
        self, space: SearchSpace, folder: Path, sweeper: Mapping[str, Any], settings: Mapping[str, Any], *, owner: str
    ) -> None:
        self.space, self.folder, self.sweeper, self.settings, self.owner = space, folder, sweeper, settings, owner
        self.wanted = objectives(settings)
        self.constraints = settings["constraints"]
        self.study = open_study(sweeper, folder, directions=list(self.wanted.values()))
        self.study.stop = lambda: None  # type: ignore[method-assign]  # a sampler that has tried all calls it
        self._parameters = parameters(space, self.study)
        self.study.sampler = self._sampler(0)
        if count := restore(self.study, folder, space, self._parameters, attributes={OWNER: owner}):
            print_line(f"copycat: {pluralize(count, 'trial')} taken into the study from {folder}", error=True)
        self._left = self._unfinished()

    def _sampler(self, number: int, parameter: str = "") -> Any:
        return sampler_of(self.sweeper, number=number, constrained=bool(self.constraints), parameter=parameter)

    def next(self) -> Job | None:
        if self._left:
            return self._begun(self._left.pop(0))
        trials = self.study.get_trials(deepcopy=False)
        if len(trials) >= self.sweeper["n_trials"] or self._tried_all(trials):
            return None
        self.study.sampler = self._sampler(len(trials))
        trial = self.study.ask()
        if trial.number >= self.sweeper["n_trials"]:  # another sweep of the same study was faster
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr(OWNER, self.owner)
        return self._job(trial)

    def _tried_all(self, trials: Sequence[FrozenTrial]) -> bool:
        """Of a grid, whose sampler would begin to repeat itself."""
        if not is_grid_search(self.sweeper):
            return False
        return len({tuple(sorted(trial.params.items())) for trial in trials}) >= len(self.space.grid())

    def _begun(self, frozen: FrozenTrial) -> Job:
        own = read_own_trial(self.folder / str(frozen.number))
        if own is not None:
            return begun(own, self.space.fixed)
        return self._job(trial_numbered(self.study, frozen.number))  # killed before that was written, or changed since

    def _job(self, trial: optuna.Trial) -> Job:
        self.study.sampler = self._sampler(trial.number)
        words = draw(trial, self.space, self._parameters, sampler=partial(self._sampler, trial.number))
        return Job(trial.number, [*self.space.fixed, *words], self.space.values(words))

    def done(self, job: Job, trial: Trial) -> None:
        frozen = self.study.get_trials(deepcopy=False)[job.number]
        if not frozen.state.is_finished():
            self._tell(frozen, trial)

    def _tell(self, frozen: FrozenTrial, trial: Trial) -> None:
        asked = optuna.Trial(self.study, frozen._trial_id)
        if self.constraints and trial.status != "failed":
            folder = self.folder / str(trial.number)
            found = measured(folder, read_manifest(folder), self.wanted)
            asked.set_user_attr(VIOLATIONS, list(violations(self.constraints, found).values()))
        if trial.error:
            asked.set_user_attr("error", trial.error)
        values = list(trial.objectives.values()) if trial.status == "completed" else None
        self.study.sampler = self._sampler(trial.number)
        self.study.tell(asked, values, state=STATES[trial.status])

    def _unfinished(self) -> list[FrozenTrial]:
        """Trials of this sweep that were on their way when it stopped; what those gave that ended is told now."""
        left = []
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state.is_finished() or not self._is_mine(frozen):
                continue
            try:
                trial = read_trial(self.folder / str(frozen.number))
            except (OSError, ValueError):
                trial = None
            if trial is not None and trial.status in ENDED:
                self._tell(frozen, trial)
            else:
                left.append(frozen)
        return left

    def _is_mine(self, frozen: FrozenTrial) -> bool:
        owner = frozen.user_attrs.get(OWNER)
        if owner is not None:
            return bool(owner == self.owner)
        # killed between the asking and the naming; in a shared study another sweep may be about to name it
        began = frozen.datetime_start
        alone = self.sweeper["storage"] is None
        if not (alone or began is None or (datetime.now() - began).total_seconds() > ORPHANED):
            return False
        optuna.Trial(self.study, frozen._trial_id).set_user_attr(OWNER, self.owner)
        return True
