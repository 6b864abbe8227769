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
from copycat.runs.plain import read_file, read_json
from copycat.runs.seal import seal

SCHEMA = 2
READABLE = (1, 2)
MANIFEST = "run.json"
CONFIG = "config.yaml"
MOST = 2**23
"""Bytes of a manifest, at most."""


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
