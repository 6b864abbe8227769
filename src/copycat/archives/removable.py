"""Find removable files of a folder of runs: none that a rerun, a resume or a prediction needs."""

import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from copycat.config.errors import UserError
from copycat.config.places import cache_folder
from copycat.config.suggestions import first_line
from copycat.provenance.diagnosis import PATCH
from copycat.records.image_index import FILE as IMAGES
from copycat.records.lock import FILE as LOCK
from copycat.records.lock import is_locked
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import count_epochs
from copycat.records.reader import check_files, list_files, read_checked_manifest, read_config
from copycat.records.run_folder import CONFIG, MANIFEST, RESERVE, as_recorded
from copycat.records.signature import is_signed
from copycat.records.trial_file import ENDED
from copycat.records.trial_file import FILE as TRIAL
from copycat.sweeps.summary import find_pareto_front, group_configurations, is_done, rank_trials
from copycat.sweeps.sweep_file import FILE as SWEEP_FILE
from copycat.sweeps.sweep_file import SweepFile, read_own_sweep
from copycat.sweeps.table import rank_rows
from copycat.tables.run_reader import RunRecord, read_trials
from copycat.tables.run_table import make_rows

KINDS = {
    "checkpoints": "checkpoints of trials that lost",
    "damaged": "damaged and failed runs that were set aside",
    "untrained": "runs that never trained an epoch",
    "temporary": "files of killed processes",
    "caches": "caches, which are made again when needed",
}
"""Each kind of what can be removed, with its description."""
CHECKPOINTS = ("last.ckpt", "best.ckpt", "before.ckpt")
QUIET_SECONDS = 3600.0
"""Seconds for which a folder must not have changed before it counts as left by its process."""
_SET_ASIDE = re.compile(r"\d+-(damaged|failed)-\d+")
_TEMPORARY_FOLDER = re.compile(r"\.\d\d-\d\d-\d\d-[0-9a-f]{6}")
_TEMPORARY_FILE = re.compile(r"\..+\.[0-9a-f]{6}")
_CACHES = (
    (".", re.compile(r"drawn-[0-9a-f]{16}\.npz")),
    ("runs", re.compile(r"[0-9a-f]{8}\.index")),
    ("digests", re.compile(r"[0-9a-f]{32}\.(json|digests)")),
    ("pixels", re.compile(r"[0-9a-f]{32}\.(pixels|json|lock|tmp)")),
    ("tars", re.compile(r"[0-9a-f]{32}\.json")),
    ("features", re.compile(r"[\w.-]+\.safetensors")),
)
"""Folders in the cache folder, and the names of recomputable files in them; any other file stays."""
_UNTRAINED_FILES = {CONFIG, MANIFEST, IMAGES, PATCH, HISTORY, LOCK, RESERVE, "train.log"}


@dataclass(frozen=True)
class Removable:
    """Represent files of one owner that can be removed."""

    kind: str
    owner: Path
    """Run, sweep or cache that the files are of."""
    paths: Sequence[Path]
    """The files; of a whole folder, the folder alone."""
    bytes: int


@dataclass(frozen=True)
class SkippedFolder:
    """Represent a folder that is skipped, and why."""

    folder: Path
    why: str


def find_removable(root: Path, *, keep: int = 1) -> Iterator[Removable | SkippedFolder]:
    """Yield what can be removed below a folder and from the caches, and folders that are skipped.

    Args:
        root: folder of runs, a sweep or a run.
        keep: number of best trials, or configurations, of each sweep that keep their checkpoints.

    Raises:
        UserError: where root is no folder.
    """
    if root.is_symlink() or not root.is_dir():
        hint = f" Type copycat clean {quote(str(root.resolve()))}." if root.is_dir() else ""
        raise UserError(f"{root}: expected a folder of runs; got {'a link' if root.is_symlink() else 'none'}.{hint}")
    for place, inside, files in os.walk(root):
        folder = Path(place)
        inside.sort()
        if SWEEP_FILE in files or MANIFEST in files:
            inside.clear()
            find = _find_in_sweep(folder, keep) if SWEEP_FILE in files else _find_in_run(folder)
            try:
                yield from find
            except (UserError, OSError, ValueError) as error:
                yield SkippedFolder(folder, first_line(error).removeprefix(f"{folder}: "))
            continue
        for name in [name for name in inside if name.startswith(".")]:
            inside.remove(name)
            if _TEMPORARY_FOLDER.fullmatch(name) and _is_left_behind(folder / name):
                yield Removable("temporary", folder, [folder / name], _size(folder / name))
    if not any((root / name).exists() for name in (SWEEP_FILE, MANIFEST)):
        yield from _find_caches(cache_folder())


def _find_in_sweep(sweep: Path, keep: int) -> Iterator[Removable | SkippedFolder]:
    record = read_own_sweep(sweep)
    if is_locked(sweep):
        yield SkippedFolder(sweep, "it is running")
        return
    if record.status not in ("completed", "failed"):
        yield SkippedFolder(sweep, f"it can be resumed ({record.status})")
        return
    records = list(read_trials(sweep))
    losers = set(find_losers(records, sweep, record, keep=keep))
    for one in records:
        if one.folder.name in losers and one.status in ENDED and (one.folder / MANIFEST).exists():
            try:
                check_own(one.folder)
            except (UserError, OSError, ValueError) as error:
                yield SkippedFolder(one.folder, first_line(error).removeprefix(f"{one.folder}: "))
                continue
            names = [one.folder / "checkpoints" / name for name in CHECKPOINTS]
            if paths := [path for path in names if path.is_file()]:
                yield Removable("checkpoints", one.folder, paths, sum(path.stat().st_size for path in paths))
    for folder in sorted(sweep.iterdir()):
        if _SET_ASIDE.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            check_files(folder)
            yield Removable("damaged", sweep, [folder], _size(folder))


def find_losers(records: Sequence[RunRecord], sweep: Path, record: SweepFile, *, keep: int) -> list[str]:
    """Return the names of the folders of trials that are not among the best; none where no trial completed."""
    rows = rank_rows(make_rows(records, sweep, objectives=record.objectives), record)
    done = [row for row in rank_trials(rows, record.objectives) if is_done(row, record.objectives)]
    if not done:
        return []
    if len(record.objectives) > 1:
        best = find_pareto_front(rows, record.objectives)
    elif record.repeats:
        best = {row["trial"] for one in group_configurations(rows, record)[:keep] for row in one.trials}
    else:
        best = {row["trial"] for row in done[:keep]}
    return [str(row["trial"]) for row in rows if row["trial"] not in best]


def check_own(run: Path) -> dict[str, Any]:
    """Return the manifest of a run that stopped and that the user made.

    Raises:
        UserError: where it runs, is not the user's, or has links.
        OSError, ValueError: where it cannot be read.
    """
    check_files(run)
    manifest = read_checked_manifest(run)
    if not is_signed(read_config(run), as_recorded(manifest)):
        raise UserError(f"{run}: it is not signed by you, or its records changed.")
    if is_locked(run):
        raise UserError(f"{run}: it is running.")
    return manifest


def _find_in_run(run: Path) -> Iterator[Removable | SkippedFolder]:
    if (run / TRIAL).exists():  # its sweep's folder decides
        yield SkippedFolder(run, "it is a trial; name its sweep")
        return
    manifest = check_own(run)
    if is_untrained(run, manifest):
        yield Removable("untrained", run, [run], _size(run))
        return
    temporary = [path for path in run.rglob(".*") if _TEMPORARY_FILE.fullmatch(path.name) and _is_old(path)]
    if temporary:
        yield Removable("temporary", run, temporary, sum(path.stat().st_size for path in temporary))


def is_untrained(run: Path, manifest: dict[str, Any]) -> bool:
    """Return whether a run ended long ago before its first epoch did, and has no file but those of its start."""
    if manifest["status"] in ("completed", "pruned") or not _is_old(run / MANIFEST):
        return False
    try:
        epochs = count_epochs(run)
    except FileNotFoundError:
        epochs = 0
    others = [name for name in list_files(run) if name not in _UNTRAINED_FILES and not name.startswith("tensorboard/")]
    return epochs == 0 and not others


def _find_caches(cache: Path) -> Iterator[Removable]:
    if cache.is_symlink() or not cache.is_dir():
        return
    for name, pattern in _CACHES:
        folder = cache / name
        if folder.is_symlink() or not folder.is_dir():
            continue
        paths = [path for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name) and _is_plain(path)]
        if paths:
            yield Removable("caches", folder, paths, sum(path.stat().st_size for path in paths))


def _is_left_behind(folder: Path) -> bool:
    """Return whether a folder is one that a process was killed while making, long ago."""
    files = {path.name for path in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {"?"}
    return files <= {CONFIG, MANIFEST, PATCH, SWEEP_FILE} and _is_old(folder)


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > QUIET_SECONDS


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in list_files(folder))
