"""Open the storage of a study: a journal in the sweep's folder, or a database that several machines share."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from copycat.config.errors import UserError
from copycat.config.extras import install_command
from copycat.config.suggestions import first_line

if TYPE_CHECKING:
    from filelock import FileLock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

JOURNAL = "study.journal"
HAS_KNOWN_PARTS = optuna.__version__.startswith("5.0.")
"""Whether Optuna's private parts are those that make journals and TPE faster here; else its own are used unchanged."""
MAX_OUTAGE = 600.0
"""Seconds that a database may be unreachable before a sweep gives up."""
TRIES = 5
REMEDY = "Move it away, and type the same again: the study is made again from the folders of the trials."

log = logging.getLogger(__name__)


def make_lock(path: Path) -> "ProcessLock | FileLock":
    """Return a lock of a journal that ends with its process, while Optuna's own would block others for 30 s."""
    if fcntl is not None:
        return ProcessLock(path)
    from filelock import FileLock

    return FileLock(path)


class ProcessLock:
    """Lock a journal by a record lock."""

    def __init__(self, path: Path) -> None:
        """Lock by this file."""
        self._path, self._descriptor = path, -1

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if sys.platform != "win32":
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


class JournalFile(JournalFileBackend):
    """Append to a journal, and read additions to it.

    Optuna's own flushes each line to the disk, and opens the file for each question, of which a trial asks twenty.
    """

    def __init__(self, path: Path, lock: "ProcessLock | FileLock") -> None:
        """Open the journal of a path, or make it."""
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]
        self._path, self._journal_lock = path, lock
        self._waits = self._has_unflushed = False

    @contextmanager
    def flushed_once(self) -> Iterator[None]:
        """Flush the lines that are appended meanwhile to the disk at the end, all at once.

        Other processes see each line at once, and a killed process loses none.
        """
        self._waits, self._has_unflushed = True, False
        try:
            yield
        finally:
            self._waits = False
            if self._has_unflushed:
                with self._path.open("ab") as file:
                    os.fsync(file.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append a line for each log, and flush them to the disk, or later."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._journal_lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines)
                file.flush()
                if not self._waits:
                    os.fsync(file.fileno())
            self._has_unflushed = self._waits
        finally:
            self._journal_lock.release()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:  # type: ignore[override]
        """Read the logs from a number on; where the file has not grown since, without opening it."""
        if self._log_number_offset.get(log_number_from) == os.stat(self._path).st_size:
            return ()
        return super().read_logs(log_number_from)


class StudyJournal(JournalStorage):
    """Hold the study of a sweep's journal."""

    def __init__(self, journal: JournalFile) -> None:
        """Read the journal."""
        self.journal = journal
        self._trials_by_study: dict[int, list[FrozenTrial]] = {}
        self._unfinished_by_study: dict[int, list[int]] = {}
        super().__init__(journal)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study by their numbers; of those known, only unfinished ones are read again."""
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        with self._thread_lock:
            self._sync_with_backend()
            trials, unfinished = self._refresh(study_id)
            if states is None:
                return list(trials)
            if not any(state in states for state in TrialState if state.is_finished()):
                trials = [trials[number] for number in unfinished]
            return [trial for trial in trials if trial.state in states]

    def _refresh(self, study_id: int) -> tuple[list[FrozenTrial], list[int]]:
        """Return the trials of a study, and the numbers of unfinished ones."""
        keys, read = self._replay_result._study_id_to_trial_ids[study_id], self._replay_result._trials
        trials = self._trials_by_study.setdefault(study_id, [])
        changed = [*self._unfinished_by_study.get(study_id, ()), *range(len(trials), len(keys))]
        trials += [read[key] for key in keys[len(trials) :]]
        for number in changed:
            trials[number] = read[keys[number]]
        unfinished = [number for number in changed if not trials[number].state.is_finished()]
        self._unfinished_by_study[study_id] = unfinished
        return trials, unfinished


def flushed_once(storage: BaseStorage) -> AbstractContextManager[None]:
    """Flush what is written to a storage meanwhile to the disk at once; a database does so by itself."""
    return storage.journal.flushed_once() if isinstance(storage, StudyJournal) else nullcontext()


@cache
def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Open the database of a sweep, once per process; without a `url` the journal in the sweep's folder.

    Raises:
        UserError: if it cannot be opened.
    """
    if url is None:
        path = folder / JOURNAL
        lock = make_lock(path.with_name(f".{JOURNAL}.lock"))
        try:
            truncate_partial_line(path, lock)
            if not HAS_KNOWN_PARTS:
                return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))  # type: ignore[arg-type]
            return StudyJournal(JournalFile(path, lock))
        except OSError as error:
            raise UserError(f"{path}: expected a file to write to; {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AssertionError, IndexError) as error:  # from a damaged line
            raise UserError(f"{path}: expected a study;{_describe_damage(path)} {REMEDY}") from error
    for tries_left in reversed(range(TRIES)):
        try:
            return _with_retries(RDBStorage)(url, engine_kwargs={"pool_pre_ping": True})
        except ImportError as error:
            raise UserError(
                f"hydra.sweeper.storage: expected a driver for {url.partition(':')[0]}; {first_line(error)}."
                f" For PostgreSQL type {install_command('postgres')}."
            ) from error
        except Exception as error:
            if type(error).__name__ in ("IntegrityError", "ProgrammingError") and tries_left:
                time.sleep(0.5)  # two sweeps created the tables at the same time
                continue
            if type(error).__module__.partition(".")[0] not in ("sqlalchemy", "optuna"):
                raise
            raise UserError(
                f"hydra.sweeper.storage: expected a database that can be opened; {first_line(error)}."
            ) from error
    raise AssertionError


def _describe_damage(path: Path) -> str:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError:
            return f" line {number} is damaged."
    return " its lines do not go together."


def truncate_partial_line(path: Path, lock: "ProcessLock | FileLock | None") -> None:
    """Remove an incomplete last line, left by a full disk or a power loss: lines after it would be unreadable."""
    if not path.exists():
        return
    if lock:
        lock.acquire()
    try:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    finally:
        if lock:
            lock.release()


def _find_outage(error: BaseException) -> BaseException | None:
    """Find the cause that says that a database did not answer; None if it answered and refused."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if type(cause).__name__ in ("OperationalError", "InterfaceError"):
            return cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


DATABASE_CALLS = (
    *(name for name in vars(BaseStorage) if not name.startswith("_")),
    *("_get_trials", "_create_new_trial", "_set_trial_param", "_get_best_trial_id"),
)
"""Methods that reach a database: the public ones, and those that Optuna's cached storage calls too."""


def _with_retries(kind: type[RDBStorage]) -> type[RDBStorage]:
    """Return a storage class that retries each call while the database is unreachable."""
    methods = {name: retry_during_outage(getattr(kind, name)) for name in DATABASE_CALLS}
    return type("RetryingStorage", (kind,), methods)


def retry_during_outage(call: Callable[..., Any]) -> Callable[..., Any]:
    """Retry a call at growing intervals while the database is unreachable."""

    @wraps(call)
    def retrying(*arguments: Any, **keywords: Any) -> Any:
        until, pause, has_failed = time.monotonic() + MAX_OUTAGE, 0.1, False
        while True:
            try:
                return call(*arguments, **keywords)
            except optuna.exceptions.UpdateFinishedTrialError:
                if has_failed:  # the database had executed the first try
                    return True
                raise
            except Exception as error:
                cause = _find_outage(error)
                if cause is None or time.monotonic() > until:
                    raise
                if not has_failed:
                    log.warning("copycat: the database is away; waiting for it: %s", first_line(cause))
                has_failed = True
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    return retrying
