"""The run folder: made so that no two runs share one, and written so that nothing half-written is taken for whole."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError

SCHEMA = 1
MANIFEST = "run.json"


def make_folder(root: Path, experiment: str) -> Path:
    """A new folder `root/experiment/YYYY-MM-DD/HH-MM-SS-xxxxxx` that nobody else has.

    Raises:
        UserError: where it cannot be made.
    """
    now = datetime.now()
    day = root / experiment / f"{now:%Y-%m-%d}"
    try:
        day.mkdir(parents=True, exist_ok=True)
        while True:
            folder = day / f"{now:%H-%M-%S}-{secrets.token_hex(3)}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise UserError(f"output_dir: expected a folder to write to; got {root}: {error.strerror}.") from error


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
    """Write run.json; docs/run-folder.md says what is in it."""
    text = json.dumps({"schema": SCHEMA, **manifest}, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / MANIFEST, (text + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """What run.json holds.

    Raises:
        ValueError: where it is no manifest of a schema that this version reads.
        OSError: where it cannot be read.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}")
    return manifest
