"""Measure the memory of this process, and what the system has left."""

import os
import sys
from contextlib import suppress
from pathlib import Path

STATUS, PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CGROUP = Path("/sys/fs/cgroup")


def read_available_bytes() -> int | None:
    """Return the memory that this process may still take; None where the system does not say.

    On Linux that is what is available, or is left in the control group; on macOS all memory.
    """
    found = []
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    with suppress(OSError, ValueError):  # without a limit the file says "max"
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((CGROUP / "memory.current").read_text(encoding="ascii")))
    if not found and hasattr(os, "sysconf"):
        with suppress(OSError, ValueError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def reset_peak() -> None:
    """Begin to measure the peak anew, where the system can: on Linux."""
    with suppress(OSError):
        PEAK_RESET.write_text("5", encoding="ascii")


def read_peak_bytes() -> int:
    """Return the largest resident memory of this process since `reset_peak`, or since its start."""
    with suppress(OSError, StopIteration):
        lines = STATUS.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
