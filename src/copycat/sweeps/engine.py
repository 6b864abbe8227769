"""Runs the trials that a source gives, by whichever launcher, and tells it what came of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from copycat.config.application import quote_path
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.records.lock import is_locked
from copycat.records.trial_file import ENDED, Trial, read_trial, write_trial
from copycat.sweeps.launchers.trial import DEATHS, INTERRUPTED, first_record, run_words, words_of_sweep
from copycat.training.manifest import now


@dataclass(frozen=True)
class Job:
    """A trial to run."""

    number: int
    overrides: list[str]
    """Its words, and those that all trials share."""
    values: dict[str, Any]

    @property
    def of_run(self) -> list[str]:
        """What makes the run; the sweep's own words do not."""
        return [word for word in self.overrides if not _is_sweeps(word)]

    @property
    def words(self) -> list[str]:
        """For a launcher: all of them, and the folder's name."""
        return [*self.overrides, f"hydra.sweep.subdir={quote_path(Path(str(self.number)))}"]


def begun(trial: Trial, fixed: Sequence[str]) -> Job:
    """A trial as it was begun, whatever the sweep's own words are now."""
    return Job(trial.number, [*trial.overrides, *(word for word in fixed if _is_sweeps(word))], trial.values)


def _is_sweeps(word: str) -> bool:
    return word.startswith(("sweep.", "sweep="))


class Source(Protocol):
    """What a sweeper gives, one trial at a time."""

    def next(self) -> Job | None:
        """The next trial; None where there is none left."""

    def done(self, job: Job, trial: Trial) -> None:
        """Takes what came of a trial."""


class Stream(Protocol):
    """A launcher that takes the next trial as soon as there is room for it."""

    def stream(self, runner: "Runner") -> None: ...


class Runner:
    """Args:
    folder: the sweep's.
    max_failures: failed trials that stop the sweep; None: none does.
    display: takes each change.
    """

    def __init__(self, source: Source, folder: Path, *, max_failures: int | None, display: "Display") -> None:
        self.source, self.folder, self.max_failures, self.display = source, folder, max_failures, display
        self.failures = 0
        self.held: list[int] = []
        """Trials that were left to other processes, which run them."""
        self._put_back: list[Job] = []
        self._before: dict[int, Trial] = {}
        self._unstarted = 0

    @property
    def stopped(self) -> bool:
        """Whether too many trials failed."""
        return self.max_failures is not None and self.failures >= self.max_failures

    def next(self) -> Job | None:
        """The next trial, its record written; None where there is none left, or too many failed."""
        if self.stopped:
            return None
        job = self._put_back.pop() if self._put_back else self.source.next()
        if job is not None:
            folder = self.folder / str(job.number)
            first_record(folder, job.number, job.of_run, job.values)
            self._before[job.number] = read_trial(folder)
            self.display.began(job)
        return job

    def done(self, job: Job, problem: str | None = None) -> None:
        """Tell the source what came of a trial, by its folder; one whose process died is put back.

        A trial that another process runs is left to it.

        Args:
            problem: what the launcher says of a trial that did not come to an end.

        Raises:
            UserError: where trials are not even started.
        """
        folder = self.folder / str(job.number)
        trial = read_trial(folder)
        if trial.status not in ENDED and is_locked(folder):
            self.held.append(job.number)
            self.display.put_back(job)
            return
        self._unstarted = self._unstarted + 1 if trial == self._before[job.number] else 0
        if self._unstarted == DEATHS:
            raise UserError(f"hydra/launcher: expected trials to be started; {problem or 'their processes died'}.")
        if trial.status not in ENDED:
            if trial.attempts < DEATHS:
                self._put_back.append(job)
                self.display.put_back(job)
                return
            said = f"{problem or 'its process died'}, {trial.attempts} times at epoch {trial.epochs_at_start}"
            trial = replace(trial, status="failed", error=said, ended=now())
            write_trial(folder, trial)
        self.failures += trial.status == "failed"
        self.source.done(job, trial)
        self.display.ended(job, trial)

    def run(self, launcher: Launcher, *, batch: int | None) -> None:
        """Run all.

        Args:
            batch: how many a launcher of others is given at once; None: all.
        """
        if hasattr(launcher, "stream"):
            launcher.stream(self)
            return
        if isinstance(launcher, BasicLauncher):
            assert launcher.config is not None
            if not _has_own_steps(launcher.config):
                self._run_here(words_of_sweep(launcher.config))
                return
            batch = 1
        while jobs := list(self._batch(batch)):
            # a launcher numbers a batch from its first; ours are numbered by their folders
            try:
                returns = launcher.launch([job.words for job in jobs], initial_job_idx=jobs[0].number)
                problems = [_problem(returned) for returned in returns]
            except Exception as error:  # of one job, but it takes the word of the others with it: their folders have it
                problems = [f"{type(error).__name__}: {first_line(error)}"] * len(jobs)
            for job, problem in zip(jobs, problems, strict=True):
                self.done(job, problem)

    def _run_here(self, shared: Sequence[str]) -> None:
        """One after the other in this process, as Hydra's own launcher does, which composes each from all its files."""
        while (job := self.next()) is not None:
            try:
                problem = run_words([*shared, *job.words])
            except Exception as error:
                problem = f"{type(error).__name__}: {first_line(error)}"
            if problem == INTERRUPTED:
                raise KeyboardInterrupt
            self.done(job, problem)

    def _batch(self, most: int | None) -> Iterator[Job]:
        count = 0
        while (most is None or count < most) and (job := self.next()):
            count += 1
            yield job


def _has_own_steps(config: DictConfig) -> bool:
    """Whether Hydra is to do more about a job than run it."""
    return bool(config.hydra.callbacks or config.hydra.job.env_set or config.hydra.job.env_copy)


def _problem(returned: JobReturn) -> str | None:
    found = returned._return_value
    if isinstance(found, KeyboardInterrupt):
        raise found
    return f"{type(found).__name__}: {first_line(found)}" if isinstance(found, BaseException) else None


class Display(Protocol):
    def began(self, job: Job) -> None: ...
    def put_back(self, job: Job) -> None: ...
    def ended(self, job: Job, trial: Trial) -> None: ...
