"""Write a file atomically: under a temporary name beside it, which then replaces it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_SECONDS = 2.0
"""Seconds that Windows may refuse a file's replacement, since another process reads the file."""


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a file, which replaces the file in the end, or is deleted after an error.

    Other processes may read and write the file at the same time. `records.run_folder.remove_half_written` knows the
    temporary name.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(3).hex()}")
    try:
        yield temporary
        replace_file(temporary, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise


def replace_file(path: Path, to: Path) -> None:
    """Rename a file over another; on Windows, which replaces no open file, wait for its readers."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            path.replace(to)
        except PermissionError as error:
            if not getattr(error, "winerror", None) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically, and flush it to the disk."""
    with replaced_file(path) as temporary, temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
