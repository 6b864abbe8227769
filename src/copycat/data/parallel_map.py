"""Map a function over many files in threads, in order, with a progress bar where it takes long."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PROGRESS_DELAY = 1.0  # seconds of work before the bar shows

Result = TypeVar("Result")


def parallel_map(work: Callable[[int], Result], count: int, *, what: str) -> Iterator[Result]:
    """Yield work(0), work(1), … in order, computed in threads; for work that releases the GIL, as Pillow does.

    Args:
        work: called with each index.
        count: number of calls.
        what: title of the progress bar, on standard error.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(what, total=count)
    due = time.monotonic() + PROGRESS_DELAY
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    with ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)  # Ctrl-C must not wait for the remaining work
        shown = False
        for result in pool.map(work, range(count)):
            if not shown and console.is_terminal and time.monotonic() > due:
                stack.enter_context(progress)
                shown = True
            progress.advance(task)
            yield result
