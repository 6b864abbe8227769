"""A run is written by one process at a time; the lock of a process that was killed is gone with it."""

import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from copycat.config.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: a run is not locked there
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"
RUNNING, KILLED = "running", "killed"
"""What a folder says that nobody brought to its end; and what is said of it where no process is at it any more."""
_FLOCK, _TYPE = ("hhqqi", 0) if sys.platform.startswith("linux") else ("qqihhi", 3)
"""C's struct flock, and the place of the kind of lock in it."""
_held: set[Path] = set()
_guard = threading.Lock()
"""Whoever closes a lock's file lets go of every lock that this process has on it."""


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
    file, whole = folder / FILE, folder.resolve()
    with _guard:
        descriptor = _acquire(file)
        if descriptor is None:
            raise LockedError(f"{folder}: expected a {of} that stopped; it is still running.")
        _held.add(whole)
    try:
        yield
    finally:
        with _guard:
            _held.discard(whole)
            try:
                file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock of a run folder, or of a sweep's; True where its file cannot be asked.

    Where the operating system has no such locks, nobody holds one: a sweep would wait for it in vain.
    """
    if fcntl is None:
        return False
    with _guard:
        if folder.resolve() in _held:
            return True
        try:
            descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        try:
            question = [0] * len(_FLOCK)  # of the whole file
            question[_TYPE] = fcntl.F_WRLCK
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *question))
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[_TYPE] != fcntl.F_UNLCK)


def current_status(status: str, *folders: Path) -> str:
    """The status that a folder says, but `killed` for `running` where no process holds the lock of any of these."""
    if fcntl is None or status != RUNNING or any(map(is_locked, folders)):
        return status
    return KILLED


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
