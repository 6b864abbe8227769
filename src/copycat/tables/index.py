"""Cache the contents of run folders, so that only changed folders are read again.

An entry is valid only while the folder's files keep the modification times, sizes and inodes that they had when read.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from copycat.config.atomic_write import write_whole
from copycat.config.places import cache_folder
from copycat.config.printable import print_line
from copycat.records import trial_file
from copycat.records.run_folder import INNER_SWEEPS, MANIFEST, is_inner_sweep
from copycat.records.safe_parsers import DamagedFileError, read_file
from copycat.records.trial_file import Trial
from copycat.tables.columns import Column, choose_columns, group_by_shape, join_columns, pack_column, unpack_column
from copycat.tables.run_reader import RunRecord, read_record
from copycat.tables.run_row import METRIC_PREFIXES, ROW_VERSION, RunRow, make_unplaced_row, place_row

MIN_FOLDERS = 200
"""Smallest number of folders with an index: fewer are read as fast without one."""
SETTLED_SECONDS = 2.0
"""Seconds since a file's last change before it is cached: two changes in a row may get the same time."""
CHECKSUM_BYTES = 4
"""Length of the checksum before an index."""
MAX_BYTES = 2**30
"""Size of an index in bytes, at most."""
CACHED_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("status", "error", "started", "ended", "seconds"),
    "request": ("experiment", "overrides", "copy_of"),
    "data": ("source", "synthetic", "images", "multi_label", "majority", "warnings"),
    "results": ("epochs", "parameters", "final", "best"),
}
"""Parts of a manifest that are cached."""
FORMAT = 2
"""Version of the format of an index."""
_PARTS = "parts", CACHED_KEYS, trial_file.SCHEMA, [field.name for field in fields(Trial)]
"""Content of an index of records."""

Stamps = tuple[int, ...]
"""Modification time, change time, size and inode of run.json, then of trial.json; zeros where there is no such file."""
MISSING = 0, 0, 0, 0
NO_FILES = (*MISSING, *MISSING)
Entry = tuple[Stamps, Any]
"""File stamps, and what is cached of the folder: a JSON value."""


class Index(NamedTuple):
    """Hold the entries of an index as they are stored."""

    names: Sequence[str]
    """Names of folders, below the root."""
    stamps: Sequence[Column]
    groups: Sequence[tuple[Sequence[int], Any, Sequence[Column]]]
    """Places among the names, the shape and the columns of values that have one shape."""


def read_records(root: Path) -> list[RunRecord]:
    """Read every run and trial at or below a folder, by name; report unreadable ones on standard error.

    A manifest holds only what `CACHED_KEYS` names.
    """
    return [
        RunRecord(root / name, manifest, None if trial is None else Trial(**trial))
        for name, (manifest, trial) in _read_entries(root, _PARTS, _make_parts)
    ]


def read_rows(root: Path, *, objectives: Collection[str] = (), metrics: Collection[str] | None = None) -> list[RunRow]:
    """Read every run and trial at or below a folder as a row of `make_row`; report as `read_records` does.

    Rows have an index of their own: making 10,000 of them takes as long as reading their records. Where `metrics` are
    named, rows may lack other ones of `final/` and `best/`, which are most of a row.
    """
    rows, beginning = list[RunRow](), str(root / "_")[:-1]
    content, make = ("rows", ROW_VERSION, [*objectives]), partial(make_unplaced_row, objectives=objectives)
    for name, row in _read_entries(root, content, make, metrics=metrics):
        place_row(row, beginning + name if name else str(root), name or root.resolve().name)
        rows.append(row)
    return rows


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause garbage collection: nothing that is read is garbage, and each of 10,000 records has many containers."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_entries(
    root: Path, content: object, make: Callable[[RunRecord], Any], *, metrics: Collection[str] | None = None
) -> list[tuple[str, Any]]:
    """Return the name of each folder and what `make` returns for its record; `content` names this in the index."""
    with paused_collection():
        key = repr((FORMAT, sys.byteorder, str(root.resolve()), content)).encode()
        index = _load(key)
        stamps_of_all, values = _join_stamps(index), _join_values(index, metrics=metrics)
        walked = [*_walk(root)]
        if walked == [*zip(index.names, stamps_of_all, strict=True)]:
            return [*zip(index.names, values, strict=True)]
        cached = dict(zip(index.names, zip(stamps_of_all, values, strict=True), strict=True))
        current, fresh, found = list[str](), dict[str, Entry](), list[tuple[str, Any]]()
        settled, changed = time.time_ns() - int(SETTLED_SECONDS * 1e9), False
        for name, stamps in walked:
            entry = cached.get(name)
            if entry is not None and entry[0] == stamps:
                current.append(name)
            else:
                try:
                    entry = stamps, make(read_record(root / name))
                except FileNotFoundError:  # removed meanwhile
                    continue
                except DamagedFileError as error:
                    print_line(f"copycat: {error}", error=True)
                    continue
                changed = True
                if max(stamps[0], stamps[1], stamps[4], stamps[5]) < settled:
                    fresh[name] = entry
                    current.append(name)
            found.append((name, entry[1]))
        if len(current) >= MIN_FOLDERS and (changed or len(current) < len(cached)):
            if metrics is not None:  # the index has all of them
                cached = dict(zip(index.names, zip(stamps_of_all, _join_values(index), strict=True), strict=True))
            _save(key, {name: fresh.get(name) or cached[name] for name in current})
        return found


def _walk(root: Path) -> Iterator[tuple[str, Stamps]]:
    """Yield the folders of runs and trials, by name, without those of races below; none lies within another."""
    waiting, beginning = [""], f"{root}/"
    while waiting:
        name = waiting.pop()
        folder = beginning + name
        stamps = _stamp(f"{folder}/{MANIFEST}") + _stamp(f"{folder}/{trial_file.FILE}")
        if stamps != NO_FILES:
            yield name, stamps
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            hidden = [one for one in INNER_SWEEPS if is_inner_sweep(f"{folder}/{one}")]
            prefix = os.path.join(name, "")
            visible = (one for one in sorted(inside, reverse=True) if one[0] != "." and one not in hidden)
            waiting += [prefix + one for one in visible]


_status_stamps = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino")


def _stamp(path: str) -> Stamps:
    try:
        return _status_stamps(os.lstat(path))
    except OSError:
        return MISSING


def _make_parts(record: RunRecord) -> Any:
    """Return the cached parts of run.json and trial.json."""
    trial = asdict(record.trial) if record.trial else None
    if record.manifest is None:
        return None, trial
    cached: dict[str, Any] = {}
    for key, names in CACHED_KEYS.items():
        node = record.manifest[key] if key else record.manifest
        part = {name: node[name] for name in names if name in node}
        cached |= {key: part} if key else part
    return cached, trial


def _index_path(key: bytes) -> Path:
    """Return the index's path in the cache: an index inside a run folder could be somebody else's."""
    return cache_folder() / "runs" / f"{crc32(key):08x}.index"


def _load(key: bytes) -> Index:
    """Read an index; empty where it is damaged, or has another key."""
    try:
        content = memoryview(read_file(_index_path(key), max_bytes=MAX_BYTES))
        if content[:CHECKSUM_BYTES] == _checksum(key, content[CHECKSUM_BYTES:]):
            return Index(*json.loads(str(content[CHECKSUM_BYTES:], "ascii")))
    except (OSError, ValueError):
        pass
    return Index([], [], [])


def _join_stamps(index: Index) -> list[Stamps]:
    return [*zip(*(unpack_column(column, count=len(index.names)) for column in index.stamps), strict=True)]


def _join_values(index: Index, *, metrics: Collection[str] | None = None) -> list[Any]:
    """Return the values in the order of the names; `metrics` as for `read_rows`."""
    values: list[Any] = [None] * len(index.names)
    for places, shape, columns in index.groups:
        if metrics is not None:
            keys = [key for key in shape if key in metrics or not key.startswith(METRIC_PREFIXES)]
            shape, columns = choose_columns(shape, columns, keys=keys)
        for place, value in zip(places, join_columns(shape, columns, count=len(places)), strict=True):
            values[place] = value
    return values


def _save(key: bytes, entries: Mapping[str, Entry]) -> None:
    """Write the index atomically; where the disk is full, the folders are read again next time."""
    stamps, values = zip(*entries.values(), strict=True)
    groups = [(group.places, group.shape, group.columns) for group in group_by_shape(values)]
    index = Index([*entries], [*map(pack_column, zip(*stamps, strict=True))], groups)
    body = json.dumps(index, separators=(",", ":")).encode()
    path = _index_path(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _checksum(key, body) + body)


def _checksum(key: bytes, body: bytes | memoryview) -> bytes:
    return crc32(body, crc32(key)).to_bytes(CHECKSUM_BYTES, "big")
