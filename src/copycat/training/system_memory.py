"""Find out how much memory the system has left, and how much an operation allocates."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

CGROUP, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def read_available_bytes() -> int | None:
    """Return the memory that this process may still take; None where the system does not say.

    On Linux that is what is available, or is left in a control group; on macOS all memory.
    """
    found = list(_read_bytes_left_in_groups())
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    if not found and hasattr(os, "sysconf"):
        with suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _read_bytes_left_in_groups() -> Iterator[int]:
    """Yield what is left in each control group around this process, as of a container or a job, in both versions."""
    lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines() if OWN_GROUPS.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if "memory" in controllers.split(","):
            root, names = CGROUP / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        elif not controllers:
            root, names = CGROUP, ("memory.max", "memory.current", "inactive_file ")
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, StopIteration, ValueError):  # without a limit the file says "max"
                limit, used = (int((folder / name).read_text(encoding="ascii")) for name in names[:2])
                facts = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
                cached = int(next(fact for fact in facts if fact.startswith(names[2])).split()[1])  # files
                yield max(0, limit - used + cached)


def measure_peak_bytes(operation: Callable[[], Any]) -> int:
    """Run an operation, and return the most memory in bytes that torch's tensors on the CPU had allocated at once.

    The process itself would tell less: the C library keeps memory that was freed.
    """
    with _silenced(), profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as recorded:
        operation()
    profiler: Any = recorded.profiler
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: int(event.start_ns())):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


@contextmanager
def _silenced() -> Iterator[None]:
    """Discard what the profiler's C++ code writes to standard error: two lines for each use."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
