"""Run a sweep, by a grid of every combination or by a search; both resume from the folders of their trials."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from copycat.config.composition import keep_references
from copycat.config.durations import format_duration
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.search_space import SearchSpace
from copycat.config.search_space_builder import build_search_space
from copycat.config.suggestions import first_line, pluralize
from copycat.records.lock import locked
from copycat.records.run_folder import MANIFEST, RACE_FOLDER, SEARCH_FOLDER, SWEEP, set_aside
from copycat.records.trial_file import ENDED, Trial, read_own_trial, read_trial
from copycat.records.trial_file import FILE as TRIAL
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.engine import Runner, TrialSource, locked_trial_error
from copycat.sweeps.job import Job, recorded_job
from copycat.sweeps.progress_display import ProgressDisplay
from copycat.sweeps.race.session import RaceSession
from copycat.sweeps.search.objectives import get_objectives
from copycat.sweeps.start import record_end
from copycat.sweeps.sweep_file import TIME_KEY, has_race, read_own_sweep, write_sweep
from copycat.training.signals import ending_signals


def run_sweep(overrides: Sequence[str], *, config: DictConfig, context: HydraContext, launcher: Launcher) -> None:
    """Run the trials of a sweep that have not ended, in its existing folder.

    `config` is composed from the overrides, and has Hydra's node, which they lack.

    Raises:
        UserError: if the sweeper does not support the search space.
        KeyboardInterrupt: if a signal ended the sweep.
    """
    folder = Path(config.hydra.sweep.dir)
    keep_references(config, [word.partition("=")[0].lstrip("+~") for word in overrides])
    sweeper: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    settings: Any = OmegaConf.to_container(config.sweep, resolve=True)
    space = build_search_space(
        overrides, sweep=settings, params=sweeper.get("params") or {}, loader=context.config_loader
    )
    budget = SweepBudget(settings["max_time"], before=read_own_sweep(folder).seconds)
    with locked(folder, of="sweep"), _interrupting_signals():
        try:
            with budget:
                error = _run_trials(space, folder, config, sweeper, settings, launcher, budget)
                if settings["prove"] and error is None and not budget.is_over:
                    error = RaceSession(
                        folder,
                        fixed=space.fixed,
                        config=config,
                        settings=settings,
                        launcher=launcher,
                        batch=sweeper.get("max_batch_size"),
                        budget=budget,
                    ).run()
        except KeyboardInterrupt:
            if not budget.is_over:
                record_end(folder, status="interrupted", seconds=budget.seconds, error="by a signal")
                print_line(f"copycat: to resume: copycat resume {quote(str(folder))}", error=True)
                raise
            error = None
        except UserError as failure:
            record_end(folder, status="interrupted", seconds=budget.seconds, error=first_line(failure))
            raise
    if error is None and budget.is_over:
        error = _describe_unfinished(folder, settings)
    if error is not None:
        record_end(folder, status="stopped", seconds=budget.seconds, error=error)
        return
    failed = sum(trial.status == "failed" for trial in read_ended_trials(folder))
    error = f"{failed} failed" if failed else None
    record_end(folder, status="failed" if failed else "completed", seconds=budget.seconds, error=error)


def _describe_unfinished(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Describe the unfinished part of a sweep whose time is over; None where all its trials ended, and its race."""
    recorded = read_own_sweep(folder)
    trials, wanted = list(read_records(folder)), recorded.trials
    ended = sum(trial.status in ENDED for trial in trials)
    over = f"{TIME_KEY}={format_duration(settings['max_time'])} is over"
    if recorded.sweeper == "best":
        inner = folder / SEARCH_FOLDER / SWEEP
        is_whole = inner.exists() and read_own_sweep(inner.parent).status == "completed"
        return None if is_whole else f"{over}: the search has not ended"
    if ended >= wanted:
        is_whole = has_race(folder) and read_own_sweep(folder / RACE_FOLDER).status == "completed"
        return f"{over}: the race has not ended" if settings["prove"] and not is_whole else None
    stopped = sum(trial.status not in ENDED and (folder / str(trial.number) / MANIFEST).exists() for trial in trials)
    what = f"{pluralize(ended, 'trial')} ended, {stopped} stopped while running, {wanted - ended - stopped} not started"
    return f"{over}: {what}"


def _run_trials(
    space: SearchSpace,
    folder: Path,
    config: DictConfig,
    sweeper: Any,
    settings: Any,
    launcher: Launcher,
    budget: SweepBudget,
) -> str | None:
    """Run the trials; return why the sweep stopped before their end, or None."""
    recorded = read_own_sweep(folder)
    if recorded.sweeper == "best":
        from copycat.sweeps.best.session import BestSession

        return BestSession(
            folder,
            fixed=space.fixed,
            config=config,
            sweeper=sweeper,
            settings=settings,
            launcher=launcher,
            budget=budget,
        ).run()
    source: TrialSource
    if recorded.sweeper == "grid":
        source = grid = Grid(space, folder)
        total = grid.total
    else:
        from copycat.sweeps.search.proposals import Search

        source = Search(space, folder, sweeper, settings, owner=recorded.id)
        total = max(recorded.trials, len(list(read_records(folder))))
    if total != recorded.trials:
        write_sweep(folder, replace(recorded, trials=total))
    with ProgressDisplay(folder, total, get_objectives(settings)) as display:
        for trial in read_ended_trials(folder):
            display.count(trial)
        runner = Runner(source, folder, max_failures=settings["max_failures"], display=display, budget=budget)
        runner.run(launcher, batch=sweeper.get("max_batch_size"))
    if runner.locked_trials:
        raise locked_trial_error(folder, runner.locked_trials[0], sweep=folder)
    return f"{pluralize(runner.failures, 'trial')} failed: sweep.max_failures" if runner.has_too_many_failures else None


@contextmanager
def _interrupting_signals() -> Iterator[None]:
    """End the sweep on the signals that end a run, between trials and while other processes run them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, *_: object) -> None:
    if signal.Signals(number).name == "SIGHUP":  # the shell of a closing terminal sends it twice
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def set_failed_aside(folder: Path) -> list[int]:
    """Move the files of failed trials to folders beside theirs, so that a grid runs them again; return their numbers.

    Raises:
        LockedError: where the sweep is running.
    """
    with locked(folder, of="sweep"):
        failed = [trial.number for trial in read_records(folder) if trial.status == "failed"]
        for number in failed:
            record = folder / str(number) / TRIAL
            aside = set_aside(record.parent, keep=(TRIAL,), why="failed")
            record.rename(aside / f"former-{TRIAL}")  # a folder with trial.json is that of a trial
    return failed


def read_ended_trials(folder: Path) -> Iterator[Trial]:
    """Read the records of trials that ended."""
    return (trial for trial in read_records(folder) if trial.status in ENDED)


def read_records(folder: Path) -> Iterator[Trial]:
    """Read the records of a sweep's trials, by number."""
    for number in sorted(int(place.name) for place in folder.iterdir() if place.name.isdecimal()):
        with suppress(OSError, ValueError):
            trial = read_trial(folder / str(number))
            if trial.number == number:
                yield trial


class Grid:
    """Propose every combination of values in order, without those whose trial ended."""

    def __init__(self, space: SearchSpace, folder: Path) -> None:
        """Read the records of the sweep's folder."""
        self._space, self._folder = space, folder
        known = list(read_records(folder))
        matched = self._match(known)
        self.total = len(known) + sum(trial is None for _, trial in matched)
        """Number of trials, with recorded ones of values that the grid has no longer."""
        self._left = self._jobs(known, matched)

    def _match(self, known: Sequence[Trial]) -> Sequence[tuple[Sequence[str], Trial | None]]:
        """Match recorded trials by their values, since the order of the grid may have changed or be shuffled."""
        trials: dict[frozenset[str], list[Trial]] = {}
        keys = {axis.override.get_key_element() for axis in self._space.axes.values()}
        for one in known:
            overrides = frozenset(word for word in one.overrides if word.partition("=")[0] in keys)
            trials.setdefault(overrides, []).append(one)
        return [
            (combination, same.pop(0) if (same := trials.get(frozenset(combination))) else None)
            for combination in self._space.grid()
        ]

    def _jobs(self, known: Sequence[Trial], grid: Sequence[tuple[Sequence[str], Trial | None]]) -> Iterator[Job]:
        used = {one.number for one in known}
        new = {place for place, (_, trial) in enumerate(grid) if not trial}
        free_numbers = (number for number in count() if number not in used | new)
        for place, (combination, trial) in enumerate(grid):
            number = trial.number if trial else next(free_numbers) if place in used else place
            job = Job(number, [*self._space.fixed, *combination], self._space.values(combination))
            if not trial:
                yield job
            elif trial.status not in ENDED:
                own = read_own_trial(self._folder / str(number))
                yield recorded_job(own, self._space.fixed) if own else job

    def next(self) -> Job | None:
        """Return the next trial, or None if none is left."""
        return next(self._left, None)

    def mark_done(self, job: Job, trial: Trial) -> None:
        """Do nothing: a grid reads its trials' folders alone."""
