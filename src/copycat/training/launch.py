"""Start the ranks of a run on this host, by torch's elastic agent, and learn how they ended."""

import logging
import os
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from copycat.config.atomic_write import write_whole
from copycat.config.errors import LateRankError, UserError
from copycat.config.worlds import choose_backend, world_size
from copycat.data.decoding_loader import exit_with_parent
from copycat.records.lock import LockedError, is_locked, locked
from copycat.records.metrics_csv import count_epochs
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.training.manifest import now
from copycat.training.rank_store import RankError
from copycat.training.ranks import Ranks
from copycat.training.result import RunResult
from copycat.training.signals import ending_signals
from copycat.training.standard_streams import printing_on_first_rank

FOLDER, FOLDER_VARIABLE = "folder", "COPYCAT_FOLDER_FILE"
"""File in which the first rank names its run folder to the agent, and the variable that names the file."""
TRACEBACK = "traceback"
"""File in which a rank leaves the traceback of an error before the run had a folder."""
LATE = "late"
"""File in which a rank says that others did not join."""
SILENT = "silent"
"""File in which a rank names another one that hung before training."""
FORK_SECONDS = 10
"""Time that ranks wait for the last one to be forked, at most."""
SHUTDOWN_SECONDS = 15
"""Time that ranks have to save and end, after a signal or after another rank failed."""
GRACE_SECONDS = 5
"""Time that ranks have to save and end after their agent was killed."""
FAILED, INTERRUPTED = 1, 128 + signal.SIGINT
Train = Callable[[], RunResult]
Ended = dict[str, str]
"""Status and folder of a run, or `error`, a wrong call's line; its class by `kind`."""


def launch(train: Train, trainer: Mapping[str, Any]) -> RunResult:
    """Run `train` on each rank in a process of its own, and return the run's result.

    Processes are forked where they can be: what is imported here need not be imported there.

    Raises:
        UserError: where the call is wrong on any rank.
        KeyboardInterrupt: where a signal ended the agent or a rank before the run had a folder.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    forks = _can_fork(trainer)
    last_forked = get_context("fork").Semaphore(0) if forks else None
    with TemporaryDirectory(prefix="copycat-") as folder, _quiet(), _signals_restored():
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=world_size(trainer),
            run_id="copycat",
            rdzv_backend="static",  # c10d's would sleep for up to 0.3 s
            rdzv_endpoint=f"127.0.0.1:{find_free_port()}",
            local_addr="127.0.0.1",
            rdzv_configs={"rank": 0, "timeout": 60},
            max_restarts=0,
            start_method="fork" if forks else "spawn",
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle=",".join(number.name for number in ending_signals()),
        )
        if hasattr(settings, "shutdown_timeout"):  # torch 2.10 always gives 30 seconds
            settings.shutdown_timeout = SHUTDOWN_SECONDS
        place, reason, status = Path(folder, FOLDER), "", "failed"
        try:
            ended: Ended = elastic_launch(settings, run_rank)(train, os.getpid(), str(place), last_forked)[0]
        except SignalException as order:
            if not place.exists():
                raise KeyboardInterrupt from order
            ended, reason, status = {}, signal.Signals(order.sigval).name, "interrupted"
        except ChildFailedError as failure:
            if not place.exists() and failure.get_first_failure()[1].exitcode == INTERRUPTED:
                raise KeyboardInterrupt from failure
            silent = place.with_name(SILENT)
            ended, reason = {}, silent.read_text("utf-8") if silent.exists() else _describe_death(failure)
        if (late := place.with_name(LATE)).exists():
            raise UserError(late.read_text(encoding="utf-8"))
        if "error" in ended:
            raise (LockedError if ended["kind"] == "locked" else UserError)(ended["error"])
        if not place.exists() and (told := place.with_name(TRACEBACK)).exists():
            crash = RuntimeError(f"{reason}: {told.read_text(encoding='utf-8').splitlines()[-1]}")
            crash.add_note(told.read_text(encoding="utf-8"))
            raise crash
        if not place.exists():
            raise UserError(f"trainer.devices: expected {world_size(trainer)} ranks to start; {reason or 'none did'}.")
        return _read_result(Path(place.read_text(encoding="utf-8")), reason, status)


def find_free_port() -> int:
    """Return a port of this host that nothing listens to now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _can_fork(trainer: Mapping[str, Any]) -> bool:
    """Return whether a fork of this process can train: on the CPU, and by OpenMP only where it has no threads yet."""
    if sys.platform != "linux" or "nccl" in choose_backend(trainer, has_cuda=torch.cuda.is_available()):
        return False
    threads = trainer.get("threads") or torch.get_num_threads() // world_size(trainer)
    return threads <= 1 or len(os.listdir("/proc/self/task")) == 1


def name_folder(folder: Path, ranks: Ranks) -> None:
    """Name the run folder to the agent that started these ranks."""
    if ranks.is_first and (place := os.environ.get(FOLDER_VARIABLE)):
        write_whole(Path(place), str(folder).encode())  # a signal may let the agent read it at any time


def _describe_death(failure: Any) -> str:
    """Return which rank ended first, where, and how."""
    rank, first = failure.get_first_failure()
    how = signal.Signals(-first.exitcode).name if first.exitcode < 0 else f"exit status {first.exitcode}"
    return f"rank {rank} on {socket.gethostname()} ended by {how}"


def _read_result(folder: Path, reason: str, status: str) -> RunResult:
    """Return the result that a run's folder has; record this status of a run whose first rank recorded none."""
    manifest = read_manifest(folder)
    if manifest["status"] == "running" and not is_locked(folder):
        with locked(folder):
            manifest |= {"status": status, "error": reason or "its first rank ended", "ended": now()}
            with suppress(OSError, ValueError):  # it may have been killed before its first row
                manifest["results"]["epochs"] = count_epochs(folder)
            write_manifest(folder, manifest)
    return RunResult(folder, str(manifest["status"]), manifest)


def run_rank(train: Train, parent: int, place: str, last_forked: Semaphore | None) -> Ended:
    """Run `train` as one rank, in a process that ends with its parent; return how it ended.

    A rank that failed ends its process, so that the agent ends the others. So does one that was interrupted, since an
    agent that was itself would let it wait until it is killed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException

    if sys.platform != "win32":
        os.setsid()  # Ctrl-C reaches the agent alone, which passes it on
    exit_with_parent(parent, int(os.environ["LOCAL_RANK"]), grace=GRACE_SECONDS)  # torch sends it a SIGINT by then
    os.environ[FOLDER_VARIABLE] = place
    if last_forked is not None:  # the agent takes a lock as a rank connects, which a later fork would copy
        others = int(os.environ["LOCAL_WORLD_SIZE"]) - 1
        if int(os.environ["LOCAL_RANK"]) == others:
            for _ in range(others):
                last_forked.release()
        else:
            last_forked.acquire(timeout=FORK_SECONDS)
    with printing_on_first_rank():
        try:
            result = train()
        except LockedError as error:
            return {"error": str(error), "kind": "locked"}
        except LateRankError as error:  # the agent would wait for those that hang
            Path(place).with_name(LATE).write_text(str(error), encoding="utf-8")
            sys.exit(FAILED)
        except UserError as error:
            return {"error": str(error), "kind": "usage"}
        except RankError as error:
            Path(place).with_name(SILENT).write_text(str(error), encoding="utf-8")
            sys.exit(FAILED)
        except SignalException:  # by a handler of the agent, which a fork inherits until training has its own
            sys.exit(INTERRUPTED)
        except Exception:
            Path(place).with_name(TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
            sys.exit(FAILED)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    if result.status in ("failed", "interrupted"):
        sys.exit(FAILED if result.status == "failed" else INTERRUPTED)
    return {"folder": str(result.folder), "status": result.status}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the agent's own log off the terminal: its end is described in one line."""
    loggers = [logging.getLogger(name) for name in ("torch.distributed", "torch.multiprocessing", "torch")]
    before = [(logger, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        with warnings.catch_warnings():
            # the agent's threads serve a store, which forked processes do not use
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            yield
    finally:
        for logger, handlers, propagates in before:
            logger.handlers, logger.propagate = handlers, propagates


@contextmanager
def _signals_restored() -> Iterator[None]:
    """Restore the handlers of signals, which the agent replaces."""
    handlers: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            with suppress(ValueError):  # in a thread, where the agent replaced none
                signal.signal(number, handler)
