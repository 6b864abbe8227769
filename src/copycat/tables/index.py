"""Cache the contents of run folders, so that only changed folders are read again.

An entry is valid only while the folder's files keep the modification times, sizes and inodes that they had when read.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.places import cache_folder
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line
from copycat.records import trial_file
from copycat.records.run_folder import MANIFEST, is_inner_sweep
from copycat.records.safe_parsers import read_file
from copycat.records.trial_file import Trial, read_trial
from copycat.tables.columns import group_by_shape, join_columns, pack_column, unpack_column
from copycat.tables.run_reader import RunRecord, read_record

MIN_FOLDERS = 200
"""Smallest number of folders with an index: fewer are read as fast without one."""
SETTLED_SECONDS = 2.0
"""Seconds since a file's last change before it is cached: two changes in a row may get the same time."""
MAX_BYTES = 2**30
"""Size of an index in bytes, at most."""
CACHED_KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("status", "error", "started", "ended", "seconds"),
    "request": ("experiment", "overrides", "copy_of"),
    "data": ("source", "synthetic", "images", "majority", "warnings"),
    "results": ("epochs", "parameters", "final", "best"),
}
"""Parts of a manifest that are cached."""
_CONTENT = CACHED_KEYS, trial_file.SCHEMA, [field.name for field in fields(Trial)]
_FORMAT = repr(("columns", sys.byteorder, _CONTENT)).encode()
"""Part of an index's digest, so that an index of another format is invalid."""

Stamps = tuple[int, ...]
"""Modification time, change time, size and inode of run.json, then of trial.json; zeros where there is no such file."""
MISSING = 0, 0, 0, 0
Entry = tuple[Stamps, dict[str, Any] | None, dict[str, Any] | None]
"""File stamps, and the contents of run.json and trial.json."""


def read_records(root: Path) -> list[RunRecord]:
    """Read every run and trial at or below a folder, by name; report unreadable ones on standard error.

    A manifest holds only what `CACHED_KEYS` names.
    """
    with _paused_collection():
        return _read_records(root)


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Pause garbage collection: nothing that is read is garbage, and each of 10,000 records has many containers."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_records(root: Path) -> list[RunRecord]:
    path = _index_path(root)
    cached, current, records = _load(path), dict[str, Entry](), list[RunRecord]()
    settled, changed = time.time_ns() - int(SETTLED_SECONDS * 1e9), False
    for name, stamps in _walk(root):
        entry = cached.get(name)
        if entry is not None and entry[0] == stamps:
            current[name] = entry
        else:
            try:
                entry = _read(root / name, stamps)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else first_line(error)
                file = _find_unreadable(root / name)
                print_line(f"copycat: {file}: expected the record of a run; {reason}.", error=True)
                continue
            changed = True
            if max(stamps[0], stamps[1], stamps[4], stamps[5]) < settled:
                current[name] = entry
        _, manifest, trial = entry
        records.append(RunRecord(root / name, manifest, None if trial is None else Trial(**trial)))
    if len(current) >= MIN_FOLDERS and (changed or current.keys() != cached.keys()):
        _save(path, current)
    return records


def _walk(root: Path) -> Iterator[tuple[str, Stamps]]:
    """Yield the folders of runs and trials, by name, without those of races below; none lies within another."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        folder = f"{root}/{name}"
        stamps = _stamp(f"{folder}/{MANIFEST}") + _stamp(f"{folder}/{trial_file.FILE}")
        if any(stamps):
            yield name, stamps
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            visible = [one for one in inside if not (one.startswith(".") or is_inner_sweep(f"{folder}/{one}"))]
            prefix = os.path.join(name, "")
            waiting += [prefix + one for one in sorted(visible, reverse=True)]


def _stamp(path: str) -> Stamps:
    try:
        status = os.lstat(path)
    except OSError:
        return MISSING
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _read(folder: Path, stamps: Stamps) -> Entry:
    record = read_record(folder)
    trial = asdict(record.trial) if record.trial else None
    if record.manifest is None:
        return stamps, None, trial
    cached: dict[str, Any] = {}
    for key, names in CACHED_KEYS.items():
        node = record.manifest[key] if key else record.manifest
        part = {name: node[name] for name in names if name in node}
        cached |= {key: part} if key else part
    return stamps, cached, trial


def _find_unreadable(folder: Path) -> Path:
    """Return which of a folder's two files cannot be read."""
    try:
        read_trial(folder)
    except FileNotFoundError:
        return folder / MANIFEST
    except (OSError, ValueError):
        return folder / trial_file.FILE
    return folder / MANIFEST


def _index_path(root: Path) -> Path:
    """Return the index's path in the cache: an index inside a run folder could be somebody else's."""
    name = blake2b(os.fsencode(root.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "runs" / f"{name}.index"


def _load(path: Path) -> dict[str, Entry]:
    """Read the cached entries; empty where the index is damaged, or of another format."""
    try:
        digest, _, body = read_file(path, max_bytes=MAX_BYTES).partition(b"\n")
        if digest != _digest(body):
            return {}
        entries: dict[str, Entry] = {}
        for group in json.loads(body):
            names, count = group["names"], len(group["names"])
            stamps = zip(*(unpack_column(column, count=count) for column in group["stamps"]), strict=True)
            contents = join_columns(group["shape"], group["columns"], count=count)
            entries |= {name: (stamp, *both) for name, stamp, both in zip(names, stamps, contents, strict=True)}
        return entries
    except (OSError, ValueError):
        return {}


def _save(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write the index atomically; where the disk is full, the folders are read again next time."""
    names, stamps, contents = [*entries], [], []
    for stamp, *content in entries.values():
        stamps.append(stamp)
        contents.append(content)
    groups = [
        {
            "names": [names[place] for place in group.places],
            "stamps": [*map(pack_column, zip(*(stamps[place] for place in group.places), strict=True))],
            "shape": group.shape,
            "columns": group.columns,
        }
        for group in group_by_shape(contents)
    ]
    body = json.dumps(groups, separators=(",", ":")).encode()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _digest(body) + b"\n" + body)


def _digest(body: bytes) -> bytes:
    return blake2b(_FORMAT + body, digest_size=16).hexdigest().encode()
