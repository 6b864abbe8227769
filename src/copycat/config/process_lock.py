"""Let one thread at a time use what a process has once: Hydra's instance, torch's random numbers and settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_LOCK = RLock()


@contextmanager
def process_lock() -> Iterator[None]:
    """Wait until no other thread is inside; also as a decorator: `@process_lock()`."""
    with _LOCK:
        yield
