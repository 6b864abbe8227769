"""Make run folders that no two runs share, and read and write their manifests."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.records.safe_parsers import check_schema_number, read_file, read_json
from copycat.records.signature import sign

SCHEMA = 3
READABLE_SCHEMAS = (1, 2, 3)
KEYS_RENAMED = 3
"""First schema with the present key names."""
FORMER = {"asked": "request", "ran_on": "provenance", "came_out": "results", "seal": "signature"}
"""Key names of earlier schemas, and their present names."""
MANIFEST = "run.json"
CONFIG = "config.yaml"
IMAGES = "images.csv"
WEIGHTS = "weights.safetensors"
SWEEP, RACE_FOLDER, SEARCH_FOLDER = "sweep.json", "race", "search"
"""Record of a sweep; and the folders of its race and its search, sweeps of their own, in that of the sweep."""
INNER_SWEEPS = RACE_FOLDER, SEARCH_FOLDER
SEARCH_TABLE, SEARCH_IMAGES = "data.csv", "data_images"
"""Table of a search's images, in the folder of its sweep; and the folder of images that have no file of their own."""
TABLE_WORD = re.compile(rf"data\.file=.*[/\\\\]{re.escape(SEARCH_TABLE)}'?")
"""Override that names such a table."""
MAX_BYTES = 2**23
"""Maximum size of a manifest, in bytes."""
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{6}")
"""Temporary names that `atomic_write` uses."""
RESERVE = ".reserve"
RESERVED_BYTES = 2**16
"""More than the size of a manifest and the last lines of a log."""


def make_folder(root: Path, experiment: str, *, write: Callable[[Path], object]) -> Path:
    """Make a new, unique folder `root/experiment/YYYY-MM-DD/HH-MM-SS-xxxxxx`.

    It gets its name once `write` has written the first files: nobody ever finds it without them.

    Raises:
        UserError: where it cannot be made.
    """
    now = datetime.now()
    day = root / experiment / f"{now:%Y-%m-%d}"
    try:
        day.mkdir(parents=True, exist_ok=True)
        while True:
            folder = day / f"{now:%H-%M-%S}-{os.urandom(3).hex()}"
            with suppress(FileExistsError):
                _make_whole(folder, write)
                return folder
    except BaseException as error:
        remove_empty_folders(day, root)
        if not isinstance(error, OSError):
            raise
        raise UserError(f"output_dir: expected a folder to write to; got {root}: {error.strerror}.") from error


def _make_whole(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder's files under a temporary name, then rename it, unless another process has or makes it."""
    temporary = folder.with_name(f".{folder.name}")
    temporary.mkdir()
    try:
        if folder.exists():
            raise FileExistsError(folder)
        write(temporary)
        temporary.rename(folder)
    except BaseException:
        _remove_tree(temporary, ignore_errors=True)
        raise


def remove_empty_folders(folder: Path, root: Path) -> None:
    """Remove a folder and its parents, up to root, as far as they are empty."""
    for place in (folder, *folder.parents):
        if place == root.parent:
            return
        try:
            place.rmdir()
        except OSError:  # it is not empty
            return


def _remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    import shutil  # which imports all kinds of compression: tables of runs start without

    shutil.rmtree(folder, ignore_errors=ignore_errors)


@contextmanager
def undo_on_error(folder: Path, *, keep: Collection[str]) -> Iterator[None]:
    """Remove the new files of a locked run folder, all but those to keep, where the start of its run fails."""
    try:
        yield
    except (UserError, OSError):
        for name in set(os.listdir(folder)).difference(keep):
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                _remove_tree(path)
            else:
                path.unlink(missing_ok=True)
        raise


def set_aside(folder: Path, *, keep: Collection[str], why: Literal["damaged", "failed"] = "damaged") -> Path:
    """Move the files of a locked run folder, all but those to keep, to a new sibling folder, and return that."""
    names = (f"{folder.name}-{why}-{number}" for number in count(1))
    aside = next(place for name in names if not (place := folder.with_name(name)).exists())
    aside.mkdir()
    for name in {name for name in os.listdir(folder) if not name.startswith(".")}.difference(keep):
        (folder / name).rename(aside / name)
    return aside


def remove_half_written(folder: Path) -> None:
    """Remove temporary files of a killed process from a run folder, whose lock is held."""
    for path in folder.rglob(".*"):
        if _HALF_WRITTEN.fullmatch(path.name) and path.is_file():
            path.unlink()


def reserve(folder: Path) -> None:
    """Reserve disk space in a run folder, so that a run that fills the disk can still record its end."""
    (folder / RESERVE).write_bytes(bytes(RESERVED_BYTES))


def release(folder: Path) -> None:
    """Release the reserved space, where there is any."""
    (folder / RESERVE).unlink(missing_ok=True)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write run.json, signed together with config.yaml. docs/reference/run-folder.md describes the content.

    A resumed run of an earlier version keeps its schema.
    """
    content = as_recorded({"schema": SCHEMA, **manifest, "signature": None})
    name = "signature" if "signature" in content else "seal"
    with suppress(OSError):
        content[name] = sign((folder / CONFIG).read_bytes(), content)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / MANIFEST, (text + "\n").encode())


def is_inner_sweep(folder: str | Path) -> bool:
    """Return whether a folder is that of a sweep's race or search, whose many runs are read by themselves."""
    return os.path.basename(folder) in INNER_SWEEPS and os.path.isfile(os.path.join(folder, SWEEP))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read run.json.

    Raises:
        ValueError: where it is no manifest of a schema that this version reads.
        OSError: where it cannot be read.
    """
    manifest: dict[str, Any] = read_json(read_file(folder / MANIFEST, max_bytes=MAX_BYTES))
    check_schema_number(manifest, READABLE_SCHEMAS)
    if manifest["schema"] < KEYS_RENAMED:
        return {FORMER.get(str(name), str(name)): value for name, value in manifest.items()}
    return manifest


def as_recorded(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest under the key names of its own schema."""
    names: dict[str, str] = {}
    if manifest["schema"] < KEYS_RENAMED:
        names = {new: old for old, new in FORMER.items()}
    return {names.get(name, name): value for name, value in manifest.items()}


def is_search_table(word: str) -> bool:
    """Return whether an override names the table of a search, which lies in the search's folder."""
    return TABLE_WORD.fullmatch(word) is not None
