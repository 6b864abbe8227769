"""Cache parts in memory for the next trial of a sweep, as long as neither the file nor the tensors change."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from copycat.data.split import Part

MAX_FILES = 8  # largest number of cached files: a sweep may go through many data sets
MIN_AGE = 2.0
"""Least age in seconds of a cached file: file systems have coarse clocks, which may hide a second change."""
Stamp = tuple[int, int, int]
_parts: dict[tuple[Path, str], tuple[Stamp, Sequence[Part]]] = {}


def cached(file: Path, key: str, read: Callable[[], Sequence[Part]]) -> Sequence[Part]:
    """Return the parts that `read` makes of a file, from the cache where the file is unchanged.

    The key holds all settings that decide what is read.
    """
    before = _stamp(file)
    entry = _parts.get((file, key))
    if entry is not None and entry[0] == before and all(map(_is_unmodified, entry[1])):
        return entry[1]
    parts = read()
    if before is not None:
        if len(_parts) >= MAX_FILES:
            _parts.clear()
        _parts[file, key] = before, parts
    return parts


def _stamp(file: Path) -> Stamp | None:
    """Return modification time, size and inode; None where there is no file, or it may still be written."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    if time.time() - status.st_mtime < MIN_AGE:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _is_unmodified(part: Part) -> bool:
    """Return whether nobody wrote to the tensors, by torch's version counter: a callback may change them."""
    assert isinstance(part.images, Tensor)
    return part.images._version == part.labels._version == 0
