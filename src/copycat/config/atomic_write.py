"""Write a file atomically: under a temporary name beside it, which then replaces it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside a file, which replaces the file in the end, or is deleted after an error.

    Other processes may read and write the file at the same time. `records.run_folder.remove_half_written` knows the
    temporary name.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(3)}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically, and flush it to the disk."""
    with replaced_file(path) as temporary, temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
