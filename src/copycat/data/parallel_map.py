"""Work on many files at once, in order, with a progress bar where it takes long."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE = 1.0  # seconds of work before the bar shows

Result = TypeVar("Result")


def side_by_side(work: Callable[[int], Result], count: int, *, what: str) -> Iterator[Result]:
    """work(0), work(1), … in this order, computed in threads: for work like Pillow's, which lets go of Python's lock.

    Args:
        what: the bar's title, on standard error.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, transient=True)
    task = progress.add_task(what, total=count)
    due = time.monotonic() + PATIENCE
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    with ExitStack() as stack:
        stack.callback(pool.shutdown, cancel_futures=True)  # after Ctrl-C the rest is not worth waiting for
        shown = False
        for result in pool.map(work, range(count)):
            if not shown and console.is_terminal and time.monotonic() > due:
                stack.enter_context(progress)
                shown = True
            progress.advance(task)
            yield result
