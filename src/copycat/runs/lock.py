"""A run is written by one process at a time; the lock of a process that was killed is gone with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from copycat.config.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: a run is not locked there
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"


class LockedError(UserError):
    """Another process holds the lock of a folder."""


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
    descriptor = _acquire(file)
    if descriptor is None:
        raise LockedError(f"{folder}: expected a {of} that stopped; it is still running.")
    try:
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether another process holds the lock; this process must not hold it, since asking would release it."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(folder / FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _acquire(file: Path) -> int | None:
    """A descriptor that holds the lock; None where another process does."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        # its last holder may have removed the file meanwhile: then a third process would lock a new one
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        # a record lock, not flock: workers do not inherit it, and may outlive a killed run for some seconds
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
