"""A run folder, opened: read without running anything, and held against what a stranger's may hold."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from copycat.config.allowed import check_allowed, check_whole
from copycat.config.errors import UserError
from copycat.config.hints import first_line
from copycat.runs import tensor_files
from copycat.runs.checkpoint_file import is_own
from copycat.runs.folder import CONFIG, MANIFEST, read_manifest
from copycat.runs.kinds import refuse_strangers
from copycat.runs.plain import read_file, read_yaml
from copycat.runs.seal import holds
from copycat.runs.shape import check_form, check_texts

MOST = 2**20
"""Bytes of a config.yaml, at most."""
MOST_FILES = 10_000
"""In a run folder, at most."""


@dataclass(frozen=True)
class Opened:
    """What a run folder says of its run."""

    folder: Path
    manifest: dict[str, Any]
    config: dict[str, Any]
    own: bool
    """Whether the user made it: its seal holds."""


def open_run(folder: Path) -> Opened:
    """Read a run folder, and hold it against what may be built from it; nothing is built yet.

    Raises:
        UserError: where it is no run, its files are not what they should be, or it is a stranger's and holds what only
            one's own may.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected the folder of a run; got none. See them: copycat runs.")
    if folder.is_symlink():
        folder = folder.resolve()
    _check_files(folder)
    try:
        manifest = read_manifest(folder)
        check_form(manifest)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST}: expected a run's manifest; {_said(error)}.") from error
    where = folder / CONFIG
    try:
        content = read_file(where, most=MOST)
        config = read_yaml(content)
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: expected a run's configuration; {_said(error)}.") from error
    own = holds(content, manifest)
    if not own:
        try:
            check_texts(manifest)
        except ValueError as error:
            raise UserError(
                f"{folder / MANIFEST}: {first_line(error)}, and this folder is not sealed by you. Write another."
            ) from error
        check_allowed(config, where=str(where), refuse=refuse_strangers())
    check_whole(config, where=str(where))
    return Opened(folder, manifest, config, own)


def read_checkpoint(path: Path, opened: Opened) -> dict[str, Any]:
    """A checkpoint of a run: tensors and plain containers.

    Raises:
        UserError: where it is none, is damaged, or names files to callbacks and was not written by the user.
    """
    assert path.is_relative_to(opened.folder)
    checkpoint = tensor_files.read_checkpoint(path)
    try:
        tensor_files.check_states(path, checkpoint.get("callbacks", {}))
    except UserError:
        if not (opened.own and is_own(path)):  # the run's seal speaks of two files alone
            raise
    return checkpoint


def read_weights(path: Path, opened: Opened) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: where it is none, or damaged.
    """
    assert path.is_relative_to(opened.folder)
    return tensor_files.read_weights(path)


def _check_files(folder: Path) -> None:
    """No link, pipe or device anywhere in the folder: what is written to a run stays in it, and so does what is read.

    That goes for one's own folders too, since the seal speaks of two files alone.
    """
    names: dict[tuple[int, int], list[tuple[str, int]]] = {}
    waiting, count = [folder], 0
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            raise UserError(f"{folder}: expected a folder that can be read; {_said(error)}.") from error
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            count += 1
            if count > MOST_FILES:
                raise UserError(f"{folder}: expected the folder of one run; got one of more than {MOST_FILES} files.")
            if stat.S_ISDIR(found.st_mode):
                waiting.append(Path(entry.path))
            elif not stat.S_ISREG(found.st_mode):
                kind = "a link" if entry.is_symlink() else "a pipe or device"
                raise UserError(f"{entry.path!a}: expected a plain file; got {kind}. Put the file itself there.")
            elif found.st_nlink > 1:
                names.setdefault((found.st_dev, found.st_ino), []).append((entry.path, found.st_nlink))
    for of_one in names.values():
        if len(of_one) < of_one[0][1]:  # a second name, outside: what is written here would be written there
            raise UserError(
                f"{of_one[0][0]!a}: expected a file of this folder alone; got one with a hard link elsewhere."
                f" Copy the folder: cp -r {folder} FOLDER."
            )


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return first_line(error)
