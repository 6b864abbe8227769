"""Freed memory is kept where steps need it again, and returned where training is done."""

import platform
import subprocess
import sys

import pytest

GNU = platform.libc_ver()[0] == "glibc"
LARGE = 2**26
"""Bytes: more than the C library keeps by itself."""
PROGRAM = f"""
import resource, sys
from copycat.config.malloc import keep_memory, trim_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "kept":
    keep_memory()
b"x" * {LARGE}
before = faults()
for _ in range(8):
    b"x" * {LARGE}
again, held = faults() - before, resident()
trim_memory()
print(again * resource.getpagesize(), held - resident())
"""


def measure_memory(how: str) -> tuple[int, int]:
    """Bytes that the system cleared for eight pieces of memory after a first one, and that it got back."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    cleared, back = done.stdout.split()
    return int(cleared), int(back)


@pytest.mark.skipif(not GNU, reason="another C library is left as it is")
def test_freed_memory_is_reused_and_returned_on_request() -> None:
    cleared, back = measure_memory("left")
    assert cleared > 4 * LARGE  # or there is nothing to keep, and the rest shows nothing
    assert back < LARGE / 2
    cleared, back = measure_memory("kept")
    assert cleared < LARGE / 2
    assert back > LARGE / 2
