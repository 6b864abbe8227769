"""Import large packages fast."""

import gc
import linecache
from collections.abc import Iterator
from contextlib import contextmanager

GC_THRESHOLD = 20_000
"""GC threshold while importing."""


@contextmanager
def defer_garbage_collection() -> Iterator[None]:
    """Defer garbage collection during imports, then freeze survivors: imports leave little garbage."""
    usual = gc.get_threshold()
    gc.set_threshold(GC_THRESHOLD, 1000, 1000)
    try:
        yield
    finally:
        linecache.clearcache()  # torch reads its sources as it is imported, and would keep them
        gc.freeze()
        gc.set_threshold(*usual)
