"""Map a function over many files in threads, in order, with a progress bar where it takes long."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from copycat.data.progress import show_progress

Result = TypeVar("Result")


def parallel_map(work: Callable[[int], Result], count: int, *, what: str) -> Iterator[Result]:
    """Yield work(0), work(1), … in order, computed in threads; for work that releases the GIL, as Pillow does."""
    pool = ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1))
    try:
        yield from show_progress(pool.map(work, range(count)), total=count, what=what)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C must not wait for the remaining work
