"""What the figures of a benchmark were taken on: python benchmarks/machine.py

Every benchmark whose figures depend on the machine prints these two lines first.
"""

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from datetime import date
from importlib.util import find_spec
from pathlib import Path

# in a process of its own: the memory of one that has imported torch shows in what is measured of its children
TORCH = "import torch; print(torch.__version__, torch.get_num_threads())"


def description() -> str:
    """Day, processor, cores, memory and system; Python, torch and its threads in a new process, and whether matplotlib
    and SciPy are there. Two lines.
    """
    torch, threads = subprocess.check_output([sys.executable, "-c", TORCH], text=True).split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    there = [name for name in ("matplotlib", "scipy") if find_spec(name)]
    return (
        f"{date.today()}, {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, {_system()}\n"
        f"Python {platform.python_version()}, torch {torch}, {threads} threads,"
        f" {'with' if there else 'without'} {' and '.join(there) or 'matplotlib and scipy'};"
        f" load {os.getloadavg()[0]:.1f} as it began"
    )


def _processor() -> str:
    with suppress(OSError):  # there is no such file but on Linux
        if match := re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def _system() -> str:
    with suppress(OSError):
        release = ".".join(platform.release().split(".")[:2])
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {release}"
    return platform.platform()


if __name__ == "__main__":
    print(description())
