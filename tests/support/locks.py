"""Hold the lock of a run folder in another process, as a run does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from copycat.records import lock
from copycat.records.lock import locked
if sys.argv[2:] == ["without fcntl"]:
    lock.fcntl = None
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@contextmanager
def hold_lock(folder: Path, *how: str) -> Iterator["subprocess.Popen[str]"]:
    """Hold the lock of a run folder, or of a sweep's, until the process is killed or the block ends."""
    command = [sys.executable, "-c", HOLD, str(folder), *how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()
