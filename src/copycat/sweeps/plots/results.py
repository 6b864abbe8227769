"""Read the trials of a sweep for plots, from their folders, so that grids have plots too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from copycat.records.trial_file import Trial
from copycat.sweeps import summary
from copycat.sweeps.plots.columns import Column, is_number, make_column, spans_decades
from copycat.sweeps.sweep_file import SweepFile, check_sweep, read_sweep
from copycat.tables.index import read_records
from copycat.tables.run_reader import RunRecord
from copycat.tables.run_row import REPEATS
from copycat.tables.statistics import Direction, direction_sign


@dataclass(frozen=True)
class Results:
    """Hold the trials of a sweep for plots."""

    name: str
    objectives: Mapping[str, Direction]
    trials: Sequence[Trial]
    space: Mapping[str, str]
    """Values of each varying key, in Hydra's grammar."""

    def get_key_columns(self, trials: Sequence[Trial], *, repeats: bool = False) -> list[Column]:
        """Return a column per varying key for some of the trials, each on the axis of all trials.

        `repeats` includes seeds and folds.
        """
        wanted = {trial.number for trial in trials}
        indices = [index for index, trial in enumerate(self.trials) if trial.number in wanted]
        names = dict.fromkeys([*self.space, *(name for trial in self.trials for name in trial.values)])
        columns = [
            make_column(name, self.trials, self.space.get(name, "")).select(indices)
            for name in names
            if repeats or name not in REPEATS
        ]
        return [key for key in columns if key.present]

    def get_scored_trials(self, status: str | None = None) -> list[Trial]:
        """Return the trials with a value for each objective, by number; of one status if given."""
        return [
            trial
            for trial in self.trials
            if status in (None, trial.status) and all(is_number(trial.objectives.get(name)) for name in self.objectives)
        ]

    def get_objective_column(self, objective: str, trials: Sequence[Trial]) -> Column:
        """Return the column of an objective; only minimized ones may be logarithmic, as losses, sizes and times are."""
        values = [trial.objectives[objective] for trial in trials]
        logarithmic = self.objectives[objective] == "minimize" and spans_decades(values)
        return Column(objective, values, "log" if logarithmic else "linear")

    def get_objective_label(self, objective: str) -> str:
        """Return the label of an objective's axis, with its direction."""
        return f"{objective} ({'lower' if self.objectives[objective] == 'minimize' else 'higher'} is better)"

    def get_feasible_trials(self) -> list[Trial]:
        """Return the completed trials with all objectives and no violated constraint, by number."""
        return [trial for trial in self.get_scored_trials("completed") if not trial.violated_constraints]

    def get_best_trial(self, objective: str) -> Trial | None:
        """Return the best trial by an objective, or None if no trial qualifies."""
        way = direction_sign(self.objectives[objective])
        return min(self.get_feasible_trials(), key=lambda trial: way * trial.objectives[objective], default=None)

    def get_best_so_far(self, objective: str) -> tuple[list[int], list[float]]:
        """Return the best value at each feasible trial, by its number, and up to the last trial."""
        ranked = self.get_feasible_trials()
        keep = np.minimum if self.objectives[objective] == "minimize" else np.maximum
        best = keep.accumulate([trial.objectives[objective] for trial in ranked]).tolist()
        return [*(trial.number for trial in ranked), self.trials[-1].number], [*best, best[-1]]

    def get_pareto_front(self) -> list[Trial]:
        """Return the trials on the Pareto front, which no other trial dominates."""
        trials = self.get_feasible_trials()
        rows = ({"trial": trial.number, "status": trial.status, **trial.objectives} for trial in trials)
        best = summary.find_pareto_front(rows, self.objectives)
        return [trial for trial in trials if trial.number in best]


def read_results(sweep: Path) -> Results:
    """Read the results of a sweep, which may still run; report unreadable trials on standard error.

    Raises:
        UserError: if the folder holds no sweep.
    """
    check_sweep(sweep)
    return make_results(sweep, read_sweep(sweep), read_records(sweep))


def make_results(folder: Path, sweep: SweepFile, records: Sequence[RunRecord]) -> Results:
    """Return the results of a sweep from the runs that were read from its folder, in any order."""
    own = (run for run in records if run.folder.parent == folder and run.folder.name.isdecimal())
    trials = [run.trial for run in sorted(own, key=lambda run: int(run.folder.name)) if run.trial is not None]
    space = {name: sweep.space.get(name, "") for name in sweep.varies}
    return Results(folder.resolve().name, sweep.objectives, trials, space)
