"""Run a search for the best model, selection by selection; one that stopped resumes from its folder."""

import csv
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from hydra.plugins.launcher import Launcher

from copycat.config.cores import available_cores
from copycat.config.errors import UserError
from copycat.config.portfolio import choose_experiments
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line, one_of, pluralize
from copycat.records.run_folder import SEARCH_FOLDER
from copycat.sweeps.best.division import (
    ALL_IMAGES,
    EXCLUDED,
    FINAL,
    HELD_OUT,
    INNER_FOLDS,
    VALIDATION_SHARE,
)
from copycat.sweeps.best.plan import SearchPlan
from copycat.sweeps.best.portfolio import Candidate, make_candidate
from copycat.sweeps.best.record import SearchRecord, read_search, read_selections
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.job import Job
from copycat.sweeps.job_list import has_ended, run_jobs, run_recorded
from copycat.sweeps.sweep_file import FILE, TIME_KEY, SweepFile, read_own_sweep, write_sweep
from copycat.tables.statistics import Direction
from copycat.training.manifest import now
from copycat.training.stopping import TIME_LIMIT

OBJECTIVE: dict[str, Direction] = {"final/val/accuracy": "maximize"}


class BestSession:
    """Search the best of a portfolio, train it on all images, and measure the search on outer folds.

    Args:
        sweep: the folder of the sweep, which gets the chosen model.
        fixed: the words of the sweep that all trainings share.
        config: the configuration that they share.
        sweeper: Hydra's node of that name.
        settings: the node `sweep`.
        launcher: runs the trainings.
        budget: the time of the sweep.
    """

    def __init__(
        self,
        sweep: Path,
        *,
        fixed: Sequence[str],
        config: Any,
        sweeper: Mapping[str, Any],
        settings: Mapping[str, Any],
        launcher: Launcher,
        budget: SweepBudget,
    ) -> None:
        """Read the plan of the search that began, or make one.

        Raises:
            UserError: where the data have no table of divisions, or no experiment of the portfolio can be tried.
        """
        self.sweep, self.folder, self.fixed, self.launcher, self.budget = (
            sweep,
            sweep / SEARCH_FOLDER,
            fixed,
            launcher,
            budget,
        )
        self.batch, self.max_failures = sweeper.get("max_batch_size"), settings["max_failures"]
        if (self.folder / FILE).exists():
            self.plan = read_search(sweep).plan
            read_own_sweep(self.folder)
            return
        table = Path(str(config["data"].get("file")))
        self.plan = make_plan(fixed, table, sweeper["candidates"], sweeper["preferred"])
        self.folder.mkdir(exist_ok=True)
        record = read_own_sweep(sweep)
        write_sweep(sweep, replace(record, trials=1, varies=["experiment"]))
        write_sweep(self.folder, _describe(self.plan, record))

    def run(self) -> str | None:
        """Run the search to its end; return why it stopped before, or None.

        Raises:
            KeyboardInterrupt: if a signal ended it.
        """
        return run_recorded(self.folder, self._run_selections)

    def _run_selections(self) -> str | None:
        """Run the selection on all images and train its model, then the others; a model is trained with the next."""
        plan, waiting = self.plan, list[Job]()
        for number in plan.selections:
            if plan.admitted is None:
                self._admit()
                plan = self.plan
            assert plan.admitted is not None
            jobs = [plan.job(number, name, 0, self.fixed) for name in plan.admitted]
            on = "all images" if number == ALL_IMAGES else f"the images outside fold {number} of {plan.outer_folds}"
            if (error := self._run_jobs([*waiting, *jobs], f"all candidates on {on}")) is not None:
                return error
            remaining = self._read().selections[number].remaining
            jobs = [plan.job(number, name, fold, self.fixed) for name in remaining for fold in list(plan.folds())[1:]]
            if (error := self._run_jobs(jobs, f"the remaining candidates on {on}")) is not None:
                return error
            record = self._read()
            chosen = record.selections[number].chosen
            if chosen is None:
                if number == ALL_IMAGES:
                    raise UserError(f"best: expected a candidate that can be trained; {self._failures(None)}.")
                continue
            if number == ALL_IMAGES:
                if (error := self._train_models(record)) is not None:
                    return error
            else:
                waiting = [plan.job(number, chosen, None, self.fixed)]
        return self._run_jobs(waiting, "the last model")

    def _admit(self) -> None:
        """Train each candidate once, which measures its cost, and decide which of them the time allows."""
        plan = self.plan
        most = max(1, round(self._processes * self.budget.left / plan.least_trainings)) if self.budget.limit else None
        self._measure(0, plan.names, most)
        if not (seconds := self._read().seconds):
            raise UserError(f"best: expected a candidate that can be trained; {self._failures(most)}.")
        left_out = set(seconds).difference(self._fit(seconds))
        if left_out:  # a first training also fills the caches of pixels and features
            self._measure(1, [name for name in seconds if name in left_out], most)
        record = self._read()
        admitted = self._fit(record.seconds)
        reasons = {
            name: self._explain(record.seconds.get(name), record.error(name), most)
            for name in plan.names
            if name not in admitted
        }
        self.plan = replace(plan, admitted=admitted, not_tried={**plan.not_tried, **reasons})
        write_sweep(self.folder, replace(read_own_sweep(self.folder), search=asdict(self.plan)))
        for name, reason in reasons.items():
            print_line(f"copycat: {name} is left out: {reason}", error=True)

    @property
    def _processes(self) -> int:
        return available_cores() if hasattr(self.launcher, "stream") else 1

    def _measure(self, fold: int, names: Sequence[str], most: int | None) -> None:
        """Train candidates for at most so many seconds each, preferred ones for half of the time that is left.

        Raises:
            KeyboardInterrupt: if the time of the sweep was over before all ended.
        """
        limits = dict.fromkeys(names, most)
        if most is not None:  # a first training on frozen features computes those of all images
            limits |= {name: max(most, round(self.budget.left / 2)) for name in names if name in self.plan.preferred}
        first = sorted(names, key=lambda name: name in self.plan.preferred[1:])  # which find the features of the first
        jobs = [self.plan.job(ALL_IMAGES, name, fold, self.fixed, max_seconds=limits[name]) for name in first]
        self._run_jobs(jobs, f"{pluralize(len(jobs), 'candidate')} to measure the cost")
        if self.budget.is_over and not all(has_ended(self.folder / str(job.number)) for job in jobs):
            raise KeyboardInterrupt

    def _fit(self, seconds: Mapping[str, float]) -> list[str]:
        """Return the candidates for which there is time."""
        return self.plan.admit(seconds, left=self._processes * self.budget.left)

    def _explain(self, seconds: float | None, error: str | None, most: int | None) -> str:
        """Explain why there is no time for a candidate, or why it cannot be trained."""
        if seconds is not None:
            return f"a training takes {seconds:.0f} s, and {self.plan.least_trainings} are needed"
        if error is not None and error.startswith(TIME_LIMIT):
            return f"a training takes more than {most} s, and {self.plan.least_trainings} are needed"
        return f"its training failed: {error}"

    def _failures(self, most: int | None) -> str:
        """Describe why no candidate could be trained."""
        record = self._read()
        errors = {name: record.error(name) or "not ended" for name in self.plan.names}
        if most is not None and all(error.startswith(TIME_LIMIT) for error in errors.values()):
            return f"each takes more than {most} s, and {self.plan.least_trainings} are needed. Type --minutes MORE"
        return f"all failed: {one_of(f'{name} ({error})' for name, error in errors.items())}"

    def _train_models(self, record: SearchRecord) -> str | None:
        """Train the chosen candidate on all images, and with it the others of an ensemble."""
        assert record.model is not None
        members = record.ensemble.members if record.ensemble else (record.model,)
        jobs = [
            replace(self.plan.job(ALL_IMAGES, name, None, self.fixed), number=place)
            for place, name in enumerate(members)
        ]
        write_sweep(self.sweep, replace(read_own_sweep(self.sweep), trials=len(jobs)))
        return self._run_jobs(jobs, "the best candidate on all images", folder=self.sweep)

    def _read(self) -> SearchRecord:
        return read_selections(self.folder, self.plan)

    def _run_jobs(self, jobs: Sequence[Job], what: str, *, folder: Path | None = None) -> str | None:
        """Run trainings that have not ended; return why not all of them ended, or None."""
        if all(has_ended((folder or self.folder) / str(job.number)) for job in jobs):
            return None
        runner = run_jobs(
            jobs,
            folder or self.folder,
            launcher=self.launcher,
            batch=self.batch,
            budget=self.budget,
            max_failures=self.max_failures,
            objectives={},
            what=what,
            sweep=self.sweep,
        )
        if runner.has_too_many_failures:
            return f"{runner.failures} trainings failed: sweep.max_failures"
        return f"{TIME_KEY} is over" if self.budget.is_over else None


def make_plan(
    fixed: Sequence[str], table: Path, named: Sequence[str] | None, preferred: Sequence[str] = ()
) -> SearchPlan:
    """Make the plan of a search.

    Args:
        fixed: words of the data, and others that all trainings share.
        table: of the images, with their divisions.
        named: candidates; None for the whole portfolio.
        preferred: candidates that are left out last where the time is short.

    Raises:
        UserError: where the table has no divisions, or no experiment of the portfolio can be tried.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get(EXCLUDED) == "0"]
        pool = [row for row in rows if row[HELD_OUT] == "0"]
        side = median(min(int(row["width"]), int(row["height"])) for row in pool)
        outer_folds = sum(column.endswith(f"_{FINAL}") for column in pool[0])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"hydra/sweeper=best: expected a table of images with their divisions as data.file; got {table}. Type"
            " copycat best DIR, which makes one."
        ) from error
    images = round(len(pool) * (1 - VALIDATION_SHARE))
    candidates, not_tried = list[Candidate](), dict[str, str]()
    for name in choose_experiments(named):
        try:
            candidates.append(make_candidate(name, fixed, images=images, side=int(side)))
        except UserError as error:
            if named:
                raise
            not_tried[name] = first_line(error)
    if not candidates:
        raise UserError(f"best: expected an experiment of the portfolio that can be composed; got {not_tried}.")
    return SearchPlan(
        images=len(pool),
        has_test=len(rows) > len(pool),
        outer_folds=outer_folds,
        inner_folds=INNER_FOLDS,
        candidates=[asdict(one) for one in candidates],
        not_tried=not_tried,
        preferred=list(preferred),
    )


def _describe(plan: SearchPlan, sweep: SweepFile) -> SweepFile:
    """Return the record of a search, whose trainings are read as trials."""
    return replace(
        sweep,
        id=secrets.token_hex(8),
        status="running",
        error=None,
        started=now(),
        ended=None,
        trials=len(plan.candidates) * plan.trainings,
        objectives=OBJECTIVE,
        varies=["experiment", "data.split_column"],
        seconds=0.0,
        search=asdict(plan),
    )
