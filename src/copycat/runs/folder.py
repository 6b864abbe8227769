"""The run folder: made so that no two runs share one, and written so that nothing half-written is taken for whole."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.runs.plain import read_file, read_json
from copycat.runs.seal import seal

SCHEMA = 2
READABLE = (1, 2)
MANIFEST = "run.json"
CONFIG = "config.yaml"
MOST = 2**23
"""Bytes of a manifest, at most."""
PARTIAL = ".partial"
"""Suffix of a hidden folder whose first files are being written."""
STALE = 3600
"""Seconds after which nobody is writing these files any more: the process was killed."""


def make_folder(root: Path, experiment: str, write: Callable[[Path, Path], None]) -> Path:
    """Make a new folder `root/experiment/YYYY-MM-DD/HH-MM-SS-xxxxxx` that nobody else has.

    It appears with its first files in it, so that a kill leaves no folder that nothing can resume.

    Args:
        write: writes these files; takes the folder to write to, which is renamed afterwards, and its later path.

    Raises:
        UserError: where it cannot be made.
    """
    now = datetime.now()
    day = root / experiment / f"{now:%Y-%m-%d}"
    try:
        day.mkdir(parents=True, exist_ok=True)
        partial, folder = _reserve_name(day, f"{now:%H-%M-%S}")
        try:
            write(partial, folder)
            partial.rename(folder)
        except BaseException:
            unmake(partial, root)
            raise
        _remove_stale(day.parent)
    except OSError as error:
        raise UserError(f"output_dir: expected a folder to write to; got {root}: {error.strerror}.") from error
    return folder


def _reserve_name(day: Path, second: str) -> tuple[Path, Path]:
    """A hidden folder, and the name that it alone may take."""
    while True:
        folder = day / f"{second}-{secrets.token_hex(3)}"
        partial = folder.with_name(f".{folder.name}{PARTIAL}")
        with suppress(FileExistsError):
            partial.mkdir()
            if not folder.exists():
                return partial, folder
            partial.rmdir()


def _remove_stale(experiment: Path) -> None:
    for partial in experiment.glob(f"*/.*{PARTIAL}"):
        with suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE:
                shutil.rmtree(partial)


@contextmanager
def undone_on_error(folder: Path, root: Path, *, is_new: bool) -> Iterator[None]:
    """Remove what is written to a folder meanwhile where that ends with an error; enter it under the folder's lock.

    Args:
        is_new: whether the folder itself is to go too, as the caller made it.
    """
    before = set(folder.iterdir())
    try:
        yield
    except (UserError, OSError):
        if is_new:
            unmake(folder, root)
        else:
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def unmake(folder: Path, root: Path) -> None:
    """Remove a folder that nothing came of, and those above it, up to root, that are empty then."""
    shutil.rmtree(folder)
    for parent in folder.parents:
        if parent == root.parent or any(parent.iterdir()):
            return
        parent.rmdir()


def write_whole(path: Path, content: bytes) -> None:
    """Write under another name, flush, then rename: a reader finds the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(3)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write run.json, sealed together with config.yaml as it lies there; docs/run-folder.md says what is in it."""
    content = {"schema": SCHEMA, **manifest}
    try:
        content["seal"] = seal((folder / CONFIG).read_bytes(), content)
    except OSError:
        content["seal"] = None
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / MANIFEST, (text + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """What run.json holds.

    Raises:
        ValueError: where it is no manifest of a schema that this version reads.
        OSError: where it cannot be read.
    """
    manifest = read_json(read_file(folder / MANIFEST, most=MOST))
    if not isinstance(manifest, dict) or manifest.get("schema") not in READABLE:
        raise ValueError(f"expected schema {' or '.join(map(str, READABLE))}")
    return manifest
