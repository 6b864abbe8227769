"""Lock a run folder for one process at a time; the operating system releases the lock of a killed process."""

import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from copycat.config.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where filelock locks
    fcntl = None  # type: ignore[assignment]

FILE = ".lock"
RUNNING, KILLED = "running", "killed"
"""Recorded status of a run that has not ended, and its displayed status where no process holds the lock."""
_FLOCK, _TYPE = ("hhqqi", 0) if sys.platform.startswith("linux") else ("qqihhi", 3)
"""Format of C's struct flock, and the index of the lock type in it."""
QUERY_SECONDS = 0.5
"""Seconds to wait for a lock where a query takes it as well, as on Windows."""
_held: set[Path] = set()
_guard = threading.Lock()
"""Guards all lock files: closing one releases every lock that this process has on it."""


class LockedError(UserError):
    """Report that another process holds the lock of a folder."""


@contextmanager
def locked(folder: Path, *, of: str = "run") -> Iterator[None]:
    """Hold the lock of a run folder or sweep folder.

    Raises:
        LockedError: where another process holds it.
        UserError: where the folder cannot be written to.
    """
    file, whole = folder / FILE, folder.resolve()
    with _guard:
        try:
            release = _acquire(file)
        except OSError as error:
            raise UserError(f"{folder}: expected a folder to write to; {error.strerror}.") from error
        if release is None:
            raise LockedError(f"{folder}: expected a {of} that stopped; it is still running.")
        _held.add(whole)
    try:
        yield
    finally:
        with _guard:
            _held.discard(whole)
            release()


def is_locked(folder: Path) -> bool:
    """Return whether a process holds the lock of a run folder or sweep folder; True where it cannot be queried."""
    with _guard:
        if folder.resolve() in _held:
            return True
        if sys.platform == "win32" or fcntl is None:
            return (folder / FILE).exists() and not _is_free(folder / FILE)
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
    if status != RUNNING or any(map(is_locked, folders)):
        return status
    return KILLED


def _acquire(file: Path) -> Callable[[], None] | None:
    """Take the lock, and return a function that removes and releases it; None where another process holds it."""
    if sys.platform == "win32" or fcntl is None:
        return _acquire_file_lock(file, seconds=QUERY_SECONDS)
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
                return partial(_release, file, descriptor)
        os.close(descriptor)


def _release(file: Path, descriptor: int) -> None:
    try:
        file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _acquire_file_lock(file: Path, *, seconds: float) -> Callable[[], None] | None:
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return None

    def release() -> None:
        lock.release()
        with suppress(OSError):  # another process queries it
            file.unlink(missing_ok=True)

    return release


def _is_free(file: Path) -> bool:
    """Return whether nobody holds a lock, by taking it for a moment."""
    try:
        release = _acquire_file_lock(file, seconds=0)
    except OSError:
        return False
    if release:
        release()
    return release is not None
