"""Count the cores that this process may use."""

import os


def available_cores() -> int:
    """Return the number of cores that this process may run on; of all cores where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
