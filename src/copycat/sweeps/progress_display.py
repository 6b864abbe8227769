"""Show the progress of a sweep: a bar on a terminal or in a notebook, elsewhere a line every few seconds."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from copycat.config.printable import print_line
from copycat.data.progress import make_progress
from copycat.records.trial_file import Trial
from copycat.sweeps.budget import SweepBudget
from copycat.sweeps.job import Job
from copycat.sweeps.search.objectives import rank_key
from copycat.sweeps.sweep_file import TIME_KEY
from copycat.tables.statistics import Direction
from copycat.training.stopping import TIME_LIMIT

PRINT_INTERVAL = 10.0
"""Seconds between two lines without a terminal."""
REFRESH_SECONDS = 0.5
"""Seconds between two looks at the epoch of a pack."""


class ProgressDisplay:
    """Count the trials of a sweep by status, and show the counts and the best trial."""

    def __init__(
        self,
        folder: Path,
        total: int,
        objectives: Mapping[str, Direction],
        *,
        what: str = "the sweep's trials",
        budget: SweepBudget | None = None,
    ) -> None:
        """Start with none of `total` trials, which are `what`; show how much of a limited budget is left."""
        self.budget = None if budget is None or budget.limit is None else budget
        self.folder, self.total, self.objectives, self.what = folder, total, objectives, what
        self.counts: Counter[str] = Counter()
        self.running: set[int] = set()
        self.best: Trial | None = None
        self._printed_at = self._pack_shown_at = time.monotonic()
        self._pack_epoch = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        """Show the bar, where there is a terminal or a notebook; elsewhere print the folder of the trials."""
        counts = TextColumn("trials"), MofNCompleteColumn(), BarColumn(bar_width=24)
        status = TextColumn("{task.fields[status_text]}")
        times = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        self._bar = make_progress(*counts, status, *times, refresh_per_second=2)
        if self._bar is not None:
            self._bar.add_task("sweep", total=self.total, status_text="")
            self._bar.start()
        else:
            left = f": {self._time_left}" if self.budget is not None else ""
            print_line(f"copycat: training {self.what} in {self.folder}{left}", error=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def count(self, trial: Trial) -> None:
        """Count a trial that ended, and keep it if it is the best."""
        is_out_of_time = trial.status == "failed" and (trial.error or "").startswith(TIME_LIMIT)
        self.counts[OUT_OF_TIME if is_out_of_time else trial.status] += 1
        if trial.status == "completed" and self.objectives:
            self.best = min(filter(None, (self.best, trial)), key=lambda one: rank_key(one, self.objectives))

    def on_start(self, job: Job) -> None:
        """Show that a trial runs."""
        self.running.add(job.number)
        self._show()

    def on_requeue(self, job: Job) -> None:
        """Show that a trial no longer runs."""
        self.running.discard(job.number)
        self._show()

    def on_end(self, job: Job, trial: Trial) -> None:
        """Count a trial that ended, and show it."""
        self.running.discard(job.number)
        self._pack_epoch = ""  # the next pack begins again
        self.count(trial)
        self._show()

    def on_epoch(self, epoch: int, epochs: int) -> None:
        """Show the epoch of a pack, whose trials train together: none of them ends for long."""
        now = time.monotonic()
        if now - self._pack_shown_at >= REFRESH_SECONDS:
            self._pack_shown_at, self._pack_epoch = now, f"pack in epoch {epoch} of {epochs}"
            self._show()

    @property
    def status_text(self) -> str:
        """Return the counts by status and the best trial so far, as text."""
        parts = [f"{self.counts[status]} {word}" for status, word in STATUS_LABELS.items() if self.counts[status]]
        if self.running:
            parts.append(f"{len(self.running)} running")
            parts += [self._pack_epoch] if self._pack_epoch else []
        if self.budget is not None:
            parts.append(self._time_left)
        if self.best is not None:
            name = next(iter(self.objectives))
            parts.append(f"best {name} {self.best.objectives[name]:.6g} by trial {self.best.number}")
        return ", ".join(parts)

    @property
    def _time_left(self) -> str:
        assert self.budget is not None
        return f"{format_clock(self.budget.left)} of {TIME_KEY} left"

    def _show(self) -> None:
        done = sum(self.counts.values())
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, status_text=self.status_text)
        elif time.monotonic() - self._printed_at >= PRINT_INTERVAL:
            self._printed_at = time.monotonic()
            print_line(f"trials {done}/{self.total}: {self.status_text}", error=True)


OUT_OF_TIME = "out of time"
"""Label of trials that failed by `sweep.max_seconds`."""
STATUS_LABELS = {"completed": "done", "pruned": "pruned", "failed": "failed", OUT_OF_TIME: OUT_OF_TIME}


def format_clock(seconds: float) -> str:
    """Format seconds as minutes and seconds: 4:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
