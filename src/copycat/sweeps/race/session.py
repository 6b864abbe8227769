"""Run the race of a sweep, round by round, on the sweep's launcher; a race that stopped resumes from its folder."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.records.run_folder import RACE_FOLDER
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.job import Job
from copycat.sweeps.job_list import run_jobs, run_recorded
from copycat.sweeps.race.decision import Round
from copycat.sweeps.race.plan import REPORT_ROUNDS, RacePlan, find_candidates, make_plan
from copycat.sweeps.race.record import RaceRecord, read_plan, read_rounds
from copycat.sweeps.sweep_file import FILE, TIME_KEY, SweepFile, read_own_sweep, write_sweep
from copycat.sweeps.table import read_trial_rows
from copycat.training.manifest import now


class RaceSession:
    """Run a race and the rounds that are reported.

    Args:
        sweep: the folder of the sweep, whose trials have ended.
        fixed: the words of the sweep that all trials share.
        config: the configuration that they share.
        settings: the node `sweep`.
        launcher: runs the trials.
        batch: number of trials per call of a launcher of another package; None for all.
        budget: the time of the sweep.
    """

    def __init__(
        self,
        sweep: Path,
        *,
        fixed: Sequence[str],
        config: Any,
        settings: Mapping[str, Any],
        launcher: Launcher,
        batch: int | None,
        budget: SweepBudget,
    ) -> None:
        """Read the plan of the race that began, or make one.

        Raises:
            UserError: where the sweep cannot be raced, or the race that began has other settings.
        """
        self.folder, self.fixed, self.launcher, self.batch, self.budget = (
            sweep / RACE_FOLDER,
            fixed,
            launcher,
            batch,
            budget,
        )
        self.max_failures = settings["max_failures"]
        if (self.folder / FILE).exists():
            self.plan = read_plan(self.folder)
            read_own_sweep(self.folder)
            _check_same(self.plan, settings, self.folder)
        else:
            record = read_own_sweep(sweep)
            rows = read_trial_rows(sweep, record)
            self.plan = make_plan(record, sweep, rows, settings, config)
            self.folder.mkdir(exist_ok=True)
            write_sweep(self.folder, _describe(self.plan, record))

    def run(self) -> str | None:
        """Run the race to its end; return why it stopped before, or None.

        Raises:
            KeyboardInterrupt: if a signal ended it.
        """
        return run_recorded(self.folder, self._run_rounds)

    def _run_rounds(self) -> str | None:
        race = self._read()
        while race.verdict == "open":
            number = len(race.rounds) + 1
            entered = race.rounds[-1].remaining if race.rounds else range(len(self.plan.candidates))
            what = f"round {number} of at most {self.plan.rounds}: {pluralize(len(entered), 'candidate')}"
            jobs = [
                self.plan.job(one, (number, fold), self.fixed) for one in entered for fold in range(self.plan.folds)
            ]
            if (error := self._run_jobs(jobs, what)) is not None:
                return error
            race = self._read()
            _print_round(race.rounds[-1], self.plan)
        if race.report is None and race.chosen:
            jobs = [
                self.plan.job(one, pair, self.fixed, test=bool(race.test_images))
                for one in race.chosen
                for pair in self.plan.pairs("report")
            ]
            what = f"{pluralize(REPORT_ROUNDS, 'round')} for the report: {pluralize(len(race.chosen), 'candidate')}"
            return self._run_jobs(jobs, what)
        return None

    def _read(self) -> RaceRecord:
        return read_rounds(self.plan, self.folder)

    def _run_jobs(self, jobs: Sequence[Job], what: str) -> str | None:
        """Run trials that have not ended; return why not all of them ended, or None."""
        runner = run_jobs(
            jobs,
            self.folder,
            launcher=self.launcher,
            batch=self.batch,
            budget=self.budget,
            max_failures=self.max_failures,
            objectives={self.plan.metric: self.plan.direction},
            what=f"the race's {what}",
            sweep=self.folder.parent,
        )
        if runner.has_too_many_failures:
            return f"{pluralize(runner.failures, 'trial')} of the race failed: sweep.max_failures"
        return f"{TIME_KEY} is over: the race has not ended" if self.budget.is_over else None


def _describe(plan: RacePlan, sweep: SweepFile) -> SweepFile:
    """Return the record of a race: its trials are read as those of a sweep over candidates, seeds and folds."""
    varies = dict.fromkeys(key for one in plan.candidates for key in one["values"])
    return replace(
        sweep,
        id=secrets.token_hex(8),
        status="running",
        error=None,
        started=now(),
        ended=None,
        sweeper="race",
        trials=len(plan.candidates) * plan.folds * plan.rounds,
        objectives={f"final/{plan.metric}": plan.direction},
        varies=[*varies, "seed", "data.split_seed", "data.fold"],
        study=None,
        seconds=0.0,
        race=asdict(plan),
    )


def check_race(sweep: Path, settings: Mapping[str, Any]) -> None:
    """Check that a sweep whose trials have ended can be raced with the settings of the node `sweep`.

    Raises:
        UserError: as for `RaceSession`.
    """
    race = sweep / RACE_FOLDER
    if (race / FILE).exists():
        _check_same(read_plan(race), settings, race)
    else:
        record = read_own_sweep(sweep)
        find_candidates(record, sweep, read_trial_rows(sweep, record))


def _check_same(plan: RacePlan, settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse other settings than those that a race began with: its error rate holds for these."""
    began = {"prove_rounds": plan.rounds, "prove_margin": plan.margin}
    for key, value in began.items():
        if settings[key] != value:
            raise UserError(
                f"sweep.{key}: expected {value}, with which the race in {folder} began; got {settings[key]}. For"
                f" another race, remove this folder."
            )


def _print_round(one: Round, plan: RacePlan) -> None:
    names = plan.names()
    words = [f"copycat: round {one.number}: {pluralize(len(one.remaining), 'candidate')} left"]
    words += [f"{names[gone]} is worse than {names[by]}" for gone, by in one.left.items() if by is not None]
    words += [f"{names[gone]} failed" for gone, by in one.left.items() if by is None]
    print_line("; ".join(words), error=True)
