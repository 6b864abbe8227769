"""Say of a worker of pytest-xdist that died how it ended: xdist says of each alone that it was lost."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

PATIENCE_SECONDS = 10


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Print how a lost worker ended, above what pytest-xdist prints; Python's own traceback of a fault came before."""
    if error and (popen := getattr(node.gateway._io, "popen", None)):
        print(f"\n[{node.gateway.id}] process {popen.pid} {describe_end(popen.pid)}; {describe_memory()}", flush=True)


def describe_end(process: int) -> str:
    """Return how a child of this process ended, once it has, and the most memory that it had."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            ended, status, usage = os.wait4(process, os.WNOHANG)
        except ChildProcessError:
            return "has ended, as another thread knows"
        if ended:
            code = os.waitstatus_to_exitcode(status)
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return f"ended by {how}, after {usage.ru_maxrss >> 10} MiB at most"
        time.sleep(0.05)
    return "still runs, but closed its pipe"


def count_memory_kills() -> int:
    """Return how many processes Linux has killed for want of memory since it started; 0 where that is unknown."""
    file = Path("/proc/vmstat")
    lines = file.read_text().splitlines() if file.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


KILLS_BEFORE = count_memory_kills()


def describe_memory() -> str:
    """Return the memory that is left, and how many processes Linux killed to get some since the tests began."""
    left = psutil.virtual_memory().available >> 20
    return f"the machine has {left} MiB left, and killed {count_memory_kills() - KILLS_BEFORE} processes to get some"
