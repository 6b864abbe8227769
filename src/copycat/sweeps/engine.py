"""Run the trials of a source on any launcher, and report each result back to the source."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Protocol

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.records.lock import LockedError, is_locked
from copycat.records.trial_file import ENDED, Trial, read_trial, write_trial
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.job import Job
from copycat.sweeps.launchers.trial import INTERRUPTED, compose_and_run, get_hydra_overrides
from copycat.sweeps.progress_display import ProgressDisplay
from copycat.sweeps.start import record_seconds
from copycat.sweeps.trial_folder import DEATHS, write_first_record
from copycat.training.manifest import now


class TrialSource(Protocol):
    """Propose trials one at a time, as a sweeper does."""

    def next(self) -> Job | None:
        """Return the next trial, or None if none is left."""

    def mark_done(self, job: Job, trial: Trial) -> None:
        """Receive the record of a trial that ended."""


class Runner:
    """Run the trials of a source, write their first records, and run again those whose process died."""

    def __init__(
        self,
        source: TrialSource,
        folder: Path,
        *,
        max_failures: int | None,
        display: ProgressDisplay,
        budget: SweepBudget,
        sweep: Path | None = None,
    ) -> None:
        """Start with no trial run; the sweep stops once `max_failures` trials failed, or its time is over.

        `sweep` is the folder of the sweep whose time it is, where `folder` is that of its race or search.
        """
        self.source, self.folder, self.max_failures, self.display = source, folder, max_failures, display
        self.budget, self.sweep = budget, sweep or folder
        self.failures = 0
        self.locked_trials: list[int] = []
        """Numbers of trials that other processes run."""
        self._requeued: list[Job] = []
        self._records_at_start: dict[int, Trial] = {}
        self._unstarted_in_turn = 0

    @property
    def has_too_many_failures(self) -> bool:
        """Return whether too many trials failed."""
        return self.max_failures is not None and self.failures >= self.max_failures

    @property
    def stopped(self) -> bool:
        """Return whether no further trial may start."""
        return self.has_too_many_failures or self.budget.is_over

    def next(self, *, new: bool = True) -> Job | None:
        """Write the record of the next trial and return it; None if none is left or the sweep stopped.

        Without `new`, only trials that were put back are left.
        """
        if self.stopped:
            return None
        job = self._requeued.pop(0) if self._requeued else self.source.next() if new else None
        if job is not None:
            folder = self.folder / str(job.number)
            write_first_record(folder, job.number, job.run_overrides, job.values)
            self._records_at_start[job.number] = read_trial(folder)
            self.display.on_start(job)
        return job

    def put_back(self, job: Job) -> None:
        """Run a trial again, or later."""
        self._requeued.append(job)
        self.display.on_requeue(job)

    def mark_done(self, job: Job, problem: str | None = None) -> None:
        """Report a trial's record to the source; put the trial back if its process died.

        A trial that another process runs is left to it. `problem` is the launcher's reason why a trial did not end.

        Raises:
            UserError: if several trials in turn were not even started.
        """
        folder = self.folder / str(job.number)
        trial = read_trial(folder)
        if trial.status not in ENDED and is_locked(folder):
            self.locked_trials.append(job.number)
            self.display.on_requeue(job)
            return
        self._unstarted_in_turn = self._unstarted_in_turn + 1 if trial == self._records_at_start[job.number] else 0
        if self._unstarted_in_turn == DEATHS:
            raise UserError(f"hydra/launcher: expected trials to be started; {problem or 'their processes died'}.")
        if trial.status not in ENDED:
            if trial.attempts < DEATHS:
                self.put_back(job)
                return
            error = f"{problem or 'its process died'}, {trial.attempts} times at epoch {trial.epochs_at_start}"
            trial = replace(trial, status="failed", error=error, ended=now())
            write_trial(folder, trial)
        self._report(job, trial)

    def close(self, job: Job, trial: Trial) -> None:
        """Write the last record of a trial, and report it."""
        trial = replace(trial, ended=now())
        write_trial(self.folder / str(job.number), trial)
        self._unstarted_in_turn = 0
        self._report(job, trial)

    def _report(self, job: Job, trial: Trial) -> None:
        """Report a trial that has ended."""
        self.failures += trial.status == "failed"
        self.source.mark_done(job, trial)
        self.display.on_end(job, trial)
        if self.budget.limit is not None:
            record_seconds(self.sweep, self.budget.seconds)

    def run(self, launcher: Launcher, *, batch: int | None) -> None:
        """Run all trials; a launcher that has no `stream` gets `batch` trials per call, or all if it is None."""
        if hasattr(launcher, "stream"):
            launcher.stream(self)
            return
        from hydra._internal.core_plugins.basic_launcher import BasicLauncher  # Hydra may have imported it anew

        if isinstance(launcher, BasicLauncher):
            assert launcher.config is not None
            hydra = launcher.config.hydra
            if not (hydra.callbacks or hydra.job.env_set or hydra.job.env_copy):
                self._run_in_process(get_hydra_overrides(launcher.config))
                return
            batch = 1  # Hydra has to do more for a job than run it
        while jobs := list(self.take(batch)):
            # a launcher numbers the jobs of a batch from the first one on; our numbers are those of the folders
            try:
                returns = launcher.launch([job.launch_overrides for job in jobs], initial_job_idx=jobs[0].number)
                problems = [_problem(returned) for returned in returns]
            except Exception as error:  # one job's error hides the results of the others, which their folders have
                problems = [_describe(error)] * len(jobs)
            for job, problem in zip(jobs, problems, strict=True):
                self.mark_done(job, problem)

    def _run_in_process(self, shared: Sequence[str]) -> None:
        """Run trials one by one in this process, without composing each from all files as Hydra's launcher does."""
        while (job := self.next()) is not None:
            try:
                problem = compose_and_run([*shared, *job.launch_overrides])
            except Exception as error:
                problem = _describe(error)
            if problem == INTERRUPTED:
                raise KeyboardInterrupt
            self.mark_done(job, problem)

    def take(self, most: int | None) -> Iterator[Job]:
        """Take the next trials, at most `most`; all of them if it is None."""
        return islice(iter(self.next, None), most)


def locked_trial_error(folder: Path, number: int, *, sweep: Path) -> LockedError:
    """Make the error for a trial that another process still runs."""
    return LockedError(
        f"{folder / str(number)}: expected a trial that no other process runs; it is still running. Once it stopped,"
        f" type copycat resume {quote(str(sweep))}."
    )


def _problem(returned: JobReturn) -> str | None:
    value = returned._return_value
    if isinstance(value, KeyboardInterrupt):
        raise value
    return _describe(value) if isinstance(value, BaseException) else None


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
