"""A run is written by one process at a time; the lock of a process that was killed is gone with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copycat.config.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: a run is not locked there
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"


class LockedError(UserError):
    """Another process holds the lock."""


@contextmanager
def locked(folder: Path, *, of: str = "run") -> Iterator[None]:
    """Hold the lock of a run folder, or of a sweep's.

    Raises:
        LockedError: where another process holds it.
    """
    if fcntl is None:
        yield
        return
    file = folder / FILE
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            # a record lock, not flock: workers do not inherit it, and may outlive a killed run for some seconds
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(f"{folder}: expected a {of} that stopped; it is still running.") from error
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
