"""Let one thread at a time use what a process has once: Hydra's instance, torch's random numbers and settings."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_LOCK = RLock()


@contextmanager
def process_lock() -> Iterator[None]:
    """Wait until no other thread is inside; also as a decorator: `@process_lock()`."""
    with _LOCK:
        yield


def _renew() -> None:
    """Replace the lock in a forked process, where the thread that holds it is not."""
    global _LOCK
    _LOCK = RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
