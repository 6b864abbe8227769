"""Read run folders, for every command, without following links, pipes or devices, and within size limits."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from copycat.config.errors import UserError
from copycat.config.renamed_keys import current_keys, current_words, find_renamed_keys, with_current_keys
from copycat.records.manifest_schema import check_schema
from copycat.records.run_folder import CONFIG, MANIFEST, is_inner_sweep, read_manifest
from copycat.records.safe_parsers import RESTORE, naming_file, read_file, reason

MAX_FILES = 10_000
"""Maximum number of files in a run folder."""
MAX_BYTES = 2**20
"""Maximum size of config.yaml, in bytes."""


def find_runs(root: Path) -> Iterator[Path]:
    """Yield the run folders at or below root, in the order of their names, without those of races below it."""
    for folder, inside, files in os.walk(root):
        visible = (name for name in inside if not name.startswith("."))  # incomplete folders are hidden
        inside[:] = sorted(name for name in visible if not is_inner_sweep(os.path.join(folder, name)))
        if MANIFEST in files:
            inside.clear()
            yield Path(folder)


def check_files(folder: Path) -> None:
    """Refuse links, pipes and devices anywhere in a folder, so that reads and writes stay inside it.

    Own folders are checked too, since the signature covers two files alone.

    Raises:
        UserError: for the first of them, for a hard link to a file outside, and for a folder that cannot be listed or
            holds too many files.
    """
    links: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for count, (path, state) in enumerate(_entries(folder), start=1):
        if count > MAX_FILES:
            raise UserError(f"{folder}: expected the folder of one run; got one of more than {MAX_FILES} files.")
        if stat.S_ISDIR(state.st_mode):
            continue
        if not stat.S_ISREG(state.st_mode):
            kind = "a link" if stat.S_ISLNK(state.st_mode) else "a pipe or device"
            raise UserError(f"{path}: expected a plain file; got {kind}. Put the file itself there.")
        if state.st_nlink > 1:
            links.setdefault((state.st_dev, state.st_ino), []).append((path, state.st_nlink))
    for names in links.values():
        if len(names) < names[0][1]:  # writes would reach the name outside too
            raise UserError(
                f"{names[0][0]}: expected a file of this folder alone; got one with a hard link elsewhere."
                f" Copy the folder: cp -r {quote(str(folder))} FOLDER."
            )


def list_files(folder: Path) -> list[str]:
    """List the plain files of a folder and its sub-folders by their paths below it, with forward slashes."""
    return sorted(
        Path(path).relative_to(folder).as_posix() for path, state in _entries(folder) if stat.S_ISREG(state.st_mode)
    )


def read_checked_manifest(folder: Path) -> dict[str, Any]:
    """Read run.json by `read_manifest`, and check the type of each of its keys.

    Raises:
        DamagedFileError: where it is invalid.
        FileNotFoundError: where it is missing.
    """
    with naming_file(folder / MANIFEST, "a run's manifest"):
        manifest = read_manifest(folder)
        check_schema(manifest)
    return manifest


def check_run_folder(folder: Path) -> None:
    """Refuse a path that holds no run.json, and links, pipes and devices as `check_files` does.

    Raises:
        UserError: where there is no such folder, it is no run's, or `check_files` refuses it.
    """
    if not (folder / MANIFEST).exists():
        other = "a file" if folder.exists() else "a path that does not exist"
        got = f"a folder without {MANIFEST}" if folder.is_dir() else other
        raise UserError(f"{folder}: expected the folder of a run; got {got}. See them: copycat runs.")
    check_files(folder)


def read_config(folder: Path) -> bytes:
    """Read config.yaml by `read_file`."""
    return read_file(folder / CONFIG, max_bytes=MAX_BYTES)


def parse_config(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the content of config.yaml, as it is and parsed; raise a UserError where it is missing or invalid."""
    from copycat.records.safe_yaml import read_yaml  # late: it imports yaml, which tables of runs do not need

    try:
        with naming_file(folder / CONFIG, "a run's configuration"):
            content = read_config(folder)
            if not isinstance(config := read_yaml(content), dict):
                raise ValueError("it has no keys")
            return content, config
    except FileNotFoundError as error:
        raise missing_file(folder / CONFIG) from error


def missing_file(path: Path) -> UserError:
    """Return the error for a file that a run wrote and that is missing."""
    return UserError(f"{path}: expected a file of the run; it is missing. {RESTORE}")


def rename_keys(config: Any, manifest: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return a recorded configuration and its manifest with renamed keys under their present names.

    Check signatures before: they cover the original content.
    """
    table = find_renamed_keys(config)
    if not table:
        return config, manifest
    request = {**manifest["request"], "overrides": current_words(manifest["request"]["overrides"], table)}
    if isinstance(digests := request.get("config_keys"), dict):
        request["config_keys"] = current_keys(digests, table)
    return with_current_keys(config), {**manifest, "request": request}


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each path below a folder with its own state, without following links."""
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                children = [(entry.path, state) for entry in entries if (state := _state(entry))]
        except OSError as error:
            raise UserError(f"{folder}: expected a folder that can be read; {reason(error)}.") from error
        waiting += [path for path, state in children if stat.S_ISDIR(state.st_mode)]
        yield from children


def _state(entry: "os.DirEntry[str]") -> os.stat_result | None:
    """Return a file's state; None where it is gone, as a running run renames its files."""
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
