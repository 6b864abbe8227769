"""Run a given list of trials, as a race and a search for the best model do."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hydra.plugins.launcher import Launcher

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.records.lock import locked
from copycat.records.trial_file import ENDED, Trial, read_trial
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.engine import Runner, locked_trial_error
from copycat.sweeps.job import Job
from copycat.sweeps.progress_display import ProgressDisplay
from copycat.sweeps.sweep_file import read_own_sweep, write_sweep
from copycat.tables.statistics import Direction
from copycat.training.manifest import now


class JobList:
    """Propose given trials, one after the other."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Start with the first."""
        self._jobs = iter(jobs)

    def next(self) -> Job | None:
        """Return the next trial, or None if none is left."""
        return next(self._jobs, None)

    def mark_done(self, job: Job, trial: Trial) -> None:
        """Do nothing: who gave the list reads the folders of its trials."""


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    launcher: Launcher,
    batch: int | None,
    budget: SweepBudget,
    max_failures: int | None,
    objectives: Mapping[str, Direction],
    what: str,
    sweep: Path,
) -> Runner:
    """Run those of a list of trials that have not ended, and return their runner.

    Args:
        jobs: the trials.
        folder: of their folders.
        launcher: runs them.
        batch: number of trials per call of a launcher of another package; None for all.
        budget: the time of the sweep.
        max_failures: number of failed trials that ends the list; None: no limit.
        objectives: metrics whose best value is shown.
        what: what the trials are, for the display.
        sweep: the folder of the sweep that they belong to, which records its time.

    Raises:
        UserError: where another process runs one of them.
        KeyboardInterrupt: if a signal ended one.
    """
    left = [job for job in jobs if not has_ended(folder / str(job.number))]
    with ProgressDisplay(folder, len(left), objectives, what=what, budget=budget) as display:
        runner = Runner(JobList(left), folder, max_failures=max_failures, display=display, budget=budget, sweep=sweep)
        runner.run(launcher, batch=batch)
    if runner.locked_trials:
        raise locked_trial_error(folder, runner.locked_trials[0], sweep=sweep)
    return runner


def run_recorded(folder: Path, run: Callable[[], str | None]) -> str | None:
    """Run what is a sweep inside a sweep, record its end in its own sweep.json, and return why it stopped before.

    Args:
        folder: of that sweep.json, which is locked meanwhile.
        run: returns why it stopped before its end, or None.

    Raises:
        KeyboardInterrupt: if a signal ended it.
    """

    def end(status: str, error: str | None) -> None:
        write_sweep(folder, replace(read_own_sweep(folder), status=status, error=error, ended=now()))

    with locked(folder, of="sweep"):
        try:
            error = run()
        except (KeyboardInterrupt, UserError) as failure:
            end("interrupted", first_line(failure) if isinstance(failure, UserError) else "by a signal")
            raise
        end("completed" if error is None else "stopped", error)
    return error


def has_ended(folder: Path) -> bool:
    """Return whether a folder holds a trial that ended."""
    with suppress(OSError, ValueError):
        return read_trial(folder).status in ENDED
    return False
