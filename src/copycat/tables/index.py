"""What run folders say, remembered, so that the next look reads only those that changed.

An index is believed of a folder only while the folder's files bear the very stamps that they had when they were read.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from copycat.config.places import cache_folder
from copycat.config.suggestions import first_line
from copycat.records import trial_file
from copycat.records.run_folder import MANIFEST, write_whole
from copycat.records.safe_parsers import read_file
from copycat.records.trial_file import Trial, read_trial
from copycat.tables.run_reader import Row, read_row

LEAST = 200
"""Folders from which an index is written: fewer are read as fast without one."""
SETTLED = 2.0
"""Seconds a file must have lain still to be remembered: a clock may give two changes in a row the same time."""
MOST = 2**30
"""Bytes of an index, at most."""
KEPT: Mapping[str, tuple[str, ...]] = {
    "": ("status", "error", "started", "ended", "seconds"),
    "request": ("experiment", "overrides"),
    "data": ("synthetic", "images", "majority"),
    "results": ("epochs", "parameters", "final", "best"),
}
"""What is remembered of a manifest."""
_FORM = repr((KEPT, trial_file.SCHEMA, [field.name for field in fields(Trial)])).encode()
"""Goes into an index's hash: one of another form is none."""

Stamps = list[list[int] | None]
Entry = tuple[Stamps, dict[str, Any] | None, dict[str, Any] | None]
"""Stamps of run.json and trial.json, and what they say."""


@dataclass(frozen=True)
class Found:
    """Runs at or below a folder."""

    rows: list[Row]
    """In the order of their folders; a manifest holds what KEPT names alone."""
    broken: list[str]
    """A line for each folder that could not be read."""


def read_rows(root: Path) -> Found:
    """Every run and trial at or below a folder."""
    place = _place(root)
    known, fresh = _load(place), dict[str, Entry]()
    found, settled, changed = Found([], []), time.time_ns() - int(SETTLED * 1e9), False
    for name, stamps in _walk(root):
        entry = known.get(name)
        if entry is None or entry[0] != stamps:
            try:
                entry = _read(root / name, stamps)
            except (OSError, ValueError) as error:
                said = error.strerror if isinstance(error, OSError) else first_line(error)
                found.broken.append(f"{_culprit(root / name)}: expected what a run says of itself; {said}.")
                continue
            changed = True
        if max(max(stamp[:2]) for stamp in stamps if stamp) < settled:
            fresh[name] = entry
        found.rows.append(_row(root / name, entry))
    if len(fresh) >= LEAST and (changed or fresh.keys() != known.keys()):
        _save(place, fresh)
    return found


def _walk(root: Path) -> Iterator[tuple[str, Stamps]]:
    """Folders of runs and trials, in the order of their names; none lies within another."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        folder = os.path.join(root, name)
        stamps = [_stamp(f"{folder}/{file}") for file in (MANIFEST, trial_file.FILE)]
        if any(stamps):
            yield name, stamps
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            inside = [
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            ]
            waiting += [os.path.join(name, one) for one in sorted(inside, reverse=True)]


def _stamp(path: str) -> list[int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def _read(folder: Path, stamps: Stamps) -> Entry:
    row = read_row(folder)
    if row.manifest is None:
        return stamps, None, asdict(row.trial) if row.trial else None
    kept: dict[str, Any] = {}
    for key, names in KEPT.items():
        node = row.manifest[key] if key else row.manifest
        part = {name: node[name] for name in names if name in node}
        kept |= {key: part} if key else part
    return stamps, kept, asdict(row.trial) if row.trial else None


def _culprit(folder: Path) -> Path:
    """Which of a folder's two files cannot be read."""
    try:
        read_trial(folder)
    except FileNotFoundError:
        return folder / MANIFEST
    except (OSError, ValueError):
        return folder / trial_file.FILE
    return folder / MANIFEST


def _row(folder: Path, entry: Entry) -> Row:
    _, manifest, trial = entry
    return Row(folder, manifest, None if trial is None else Trial(**trial))


def _place(root: Path) -> Path:
    """In the cache, not among the runs: those of others bring no index that would be believed."""
    name = blake2b(os.fsencode(root.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "runs" / f"{name}.index"


def _load(path: Path) -> dict[str, Entry]:
    """What was remembered; nothing where it is damaged, or of another form."""
    try:
        digest, _, body = read_file(path, max_bytes=MOST).partition(b"\n")
        if digest != _digest(body):
            return {}
        found: dict[str, Entry] = {name: tuple(entry) for name, entry in json.loads(body).items()}
        return found
    except (OSError, ValueError):
        return {}


def _save(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write the index, whole; where there is no room for it, the folders are read again next time."""
    body = json.dumps(entries, separators=(",", ":")).encode()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _digest(body) + b"\n" + body)


def _digest(body: bytes) -> bytes:
    return blake2b(_FORM + body, digest_size=16).hexdigest().encode()
