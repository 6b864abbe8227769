"""Hold the lock of a folder in another process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLDER = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def hold_lock(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Hold a folder's lock as a run does; yield the process, which lets go of it once it is killed."""
    command = [sys.executable, "-I", "-S", "-c", HOLDER, str(folder / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()
