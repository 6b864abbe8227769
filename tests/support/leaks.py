"""Find the processes, threads and settings that a test leaves behind."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from copycat.training.signal_stack import read_signal_stack
from tests.support.commands import get_server_process

SHARED_THREADS = ("tqdm_monitor", "Reloader", "fsspecIO")
"""Parts of the names of threads that a library starts and cannot end: of tqdm, TensorBoard's server and fsspec."""
SHARED_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "loky", "chromium --type=")
"""Parts of the command lines of processes started once for the whole process, or by a browser for all its pages."""


@contextmanager
def check_for_leaks(*, patience_seconds: float = 5.0) -> Iterator[None]:
    """Fail the test whose body ends with more threads or child processes than it began with, or with other settings.

    Children that are left after `patience_seconds` are killed, so that no later test meets them.
    """
    processes, threads, settings = list_processes(), set(threading.enumerate()), read_settings()
    yield
    until = time.monotonic() + patience_seconds
    while (left := _list_new(processes, threads)) and time.monotonic() < until:
        gc.collect()  # a loader whose run was given up in the middle ends its workers when it is collected
        time.sleep(0.02)
    for process in list_processes() - processes:
        if str(process.pid) in left:
            with suppress(RuntimeError):  # PyTorch raises it here, where the process was a worker of a loader
                process.kill()
                with suppress(ChildProcessError):  # a grandchild
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                multiprocessing.active_children()  # forgets those that have ended, or PyTorch would raise it again
    if left:
        pytest.fail(f"expected no process or thread to be left; got {', '.join(left.values())}")
    after = read_settings()
    # a library that is newly imported brings settings, and sets variables of its own
    names = settings.keys() | {name for name in after if name.startswith("$COPYCAT")}
    if changed := sorted(name for name in names if settings.get(name) != after.get(name)):
        pytest.fail(f"expected the settings of the process to be as before; changed are {', '.join(changed)}")


def read_settings() -> dict[str, object]:
    """Read what a test may change for the tests after it, as far as the library that keeps it is imported."""
    settings: dict[str, object] = {"folder": os.getcwd()}
    settings |= {f"${name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    settings |= {number.name: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    stack = read_signal_stack()
    settings["signal stack"] = stack and stack.address
    if torch := sys.modules.get("torch"):
        for name in ("get_default_dtype", "get_num_threads", "are_deterministic_algorithms_enabled", "is_grad_enabled"):
            settings[f"torch.{name}()"] = getattr(torch, name)()
    if image := sys.modules.get("PIL.Image"):
        settings["PIL.Image.MAX_IMAGE_PIXELS"] = image.MAX_IMAGE_PIXELS
    return settings


def _list_new(processes: set[psutil.Process], threads: set[threading.Thread]) -> dict[str, str]:
    """What was started since: the command line of each process id, and the names of threads."""
    commands = {str(process.pid): _get_command(process) for process in list_processes() - processes}
    names = {thread.name: f"thread {thread.name}" for thread in set(threading.enumerate()) - threads}
    return {
        key: command for key, command in commands.items() if command and not _contains(command, SHARED_PROCESSES)
    } | {key: name for key, name in names.items() if not _contains(name, SHARED_THREADS)}


def list_processes() -> set[psutil.Process]:
    """List the children of this process, with theirs, but for the server that commands are forked from."""
    if not any(_read_children(os.getpid())):  # psutil reads every process of the machine, which takes 5 ms
        return set()
    return {child for child in psutil.Process().children(recursive=True) if child.pid != get_server_process()}


def _read_children(process: int) -> Iterator[str]:
    """The process ids of a process's children, where Linux lists them; elsewhere something that is not empty."""
    server = get_server_process()
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended meanwhile
            for child in file.read_text().split():
                yield from _read_children(server) if int(child) == server else [child]
    if not Path("/proc/self/task").exists():
        yield "unknown"


def _contains(text: str, parts: tuple[str, ...]) -> bool:
    return any(part in text for part in parts)


def _get_command(process: psutil.Process) -> str:
    """The command line; empty where the process has ended meanwhile, and nobody has waited for it yet."""
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return ""
