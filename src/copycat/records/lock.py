"""Lock a run folder for one process at a time; the operating system releases the lock of a killed process."""

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
"""Recorded status of a run that has not ended, and its displayed status where no process holds the lock."""
_FLOCK, _TYPE = ("hhqqi", 0) if sys.platform.startswith("linux") else ("qqihhi", 3)
"""Format of C's struct flock, and the index of the lock type in it."""
_held: set[Path] = set()
_guard = threading.Lock()
"""Guards all lock files: closing one releases every lock that this process has on it."""


class LockedError(UserError):
    """Report that another process holds the lock of a folder."""


@contextmanager
def locked(folder: Path, *, of: str = "run") -> Iterator[None]:
    """Hold the lock of a run folder or sweep folder; raise a LockedError where another process holds it."""
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
    """Return whether a process holds the lock of a run folder or sweep folder; True where it cannot be queried.

    Return False on operating systems without such locks: a sweep would wait forever.
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
            question = [0] * len(_FLOCK)  # zero start and length: the whole file
            question[_TYPE] = fcntl.F_WRLCK
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *question))
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[_TYPE] != fcntl.F_UNLCK)


def current_status(status: str, *folders: Path) -> str:
    """Return the recorded status, but `killed` for `running` where no process holds one of the locks."""
    if fcntl is None or status != RUNNING or any(map(is_locked, folders)):
        return status
    return KILLED


def _acquire(file: Path) -> int | None:
    """Return a descriptor that holds the lock; None where another process does."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # a record lock, not flock: worker processes, which may outlive a killed run, do not inherit it
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        # the previous holder may have removed the file meanwhile: another process would then lock a new file
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)
