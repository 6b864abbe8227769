"""Show a progress bar on standard error for work that takes long."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PROGRESS_DELAY = 1.0  # seconds of work before the bar shows

Item = TypeVar("Item")


def show_progress(items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
    """Yield the items, with a bar of this title on a terminal where they take longer than PROGRESS_DELAY."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(what, total=total)
    due = time.monotonic() + PROGRESS_DELAY
    with ExitStack() as stack:
        shown = False
        for item in items:
            if not shown and console.is_terminal and time.monotonic() > due:
                stack.enter_context(progress)
                shown = True
            progress.advance(task)
            yield item
