"""Show a progress bar for work that takes long, in threads or not: on standard error, or below a notebook's cell."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

PROGRESS_DELAY = 1.0  # seconds of work before the bar shows
NOTEBOOK_INTERVAL = 0.2  # seconds between two updates in a notebook, each of which is a message to the browser
MAX_CALLS_PER_TASK = 64
"""Calls that a thread makes in one go, at most: queueing each of many short ones would take longer than it."""
QUEUED_PER_THREAD = 4
"""Tasks for each thread that are queued, or done and not taken yet."""

Item = TypeVar("Item")


class NotebookProgress(Progress):
    """Show a progress bar below a notebook's cell, and leave its last state there.

    Rich's own bar needs ipywidgets in notebooks; this one updates an ordinary HTML output.
    """

    _output: Any = None
    _due = 0.0

    def start(self) -> None:
        """Show the bar."""
        from IPython.display import display

        self._output = display(self.make_tasks_table(self.tasks), display_id=True)  # type: ignore[no-untyped-call]

    def refresh(self) -> None:
        """Update the bar."""
        if self._output is not None:
            self._due = time.monotonic() + NOTEBOOK_INTERVAL
            self._output.update(self.make_tasks_table(self.tasks))

    def update(self, task_id: TaskID, *arguments: Any, **fields: Any) -> None:
        """Set the state of a task, and update the bar if it is due."""
        super().update(task_id, *arguments, **fields)
        self._refresh_if_due()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Advance a task, and update the bar if it is due."""
        super().advance(task_id, advance)
        self._refresh_if_due()

    def stop(self) -> None:
        """Update the bar a last time."""
        self.refresh()
        self._output = None

    def _refresh_if_due(self) -> None:
        if time.monotonic() >= self._due:
            self.refresh()


def make_progress(*columns: ProgressColumn, **options: Any) -> Progress | None:
    """Return a progress bar for a notebook or a terminal; None where standard error is neither.

    Args:
        columns: what the bar shows.
        options: of rich's `Progress`, for a terminal.
    """
    console = Console(stderr=True)
    if console.is_jupyter:
        return NotebookProgress(*columns, console=console)
    if "JPY_PARENT_PID" in os.environ:  # a command of a cell: kernels pass for terminals, whose cursor does not move
        return None
    return Progress(*columns, console=console, transient=True, **options) if console.is_terminal else None


def show_progress(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    """Yield the items, with a bar of this title where they take longer than PROGRESS_DELAY."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = make_progress(*columns)
    if progress is None:
        yield from items
        return
    task = progress.add_task(what, total=total)
    due = time.monotonic() + PROGRESS_DELAY
    with ExitStack() as stack:
        shown = False
        for item in items:
            if not shown and time.monotonic() > due:
                stack.enter_context(progress)
                shown = True
            progress.advance(task)
            yield item


def parallel_map(work: Callable[[int], Item], count: int, *, what: str) -> Iterator[Item]:
    """Yield work(0), work(1), … in order, computed in threads; for work that releases the GIL, as Pillow does.

    Only the next few calls are queued, so that memory does not grow with `count`.
    """
    threads = min(16, os.cpu_count() or 1)
    chunk = max(1, min(MAX_CALLS_PER_TASK, count // (threads * QUEUED_PER_THREAD)))
    pool, stopped = ThreadPoolExecutor(max_workers=threads), Event()

    def work_on(calls: range) -> list[Item]:
        return [work(index) for index in calls if not stopped.is_set()]

    def results() -> Iterator[Item]:
        queued: deque[Future[list[Item]]] = deque()
        for first in range(0, count, chunk):
            queued.append(pool.submit(work_on, range(first, min(first + chunk, count))))
            if len(queued) > threads * QUEUED_PER_THREAD:
                yield from queued.popleft().result()
        while queued:
            yield from queued.popleft().result()

    try:
        yield from show_progress(results(), total=count, what=what)
    finally:
        stopped.set()  # Ctrl-C must not wait for the remaining work
        pool.shutdown(cancel_futures=True)
