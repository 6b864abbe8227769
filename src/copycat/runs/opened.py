"""A run folder, opened: read without running anything, and held against what a stranger's may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from copycat.config.allowed import check_allowed, check_whole
from copycat.config.errors import UserError
from copycat.config.hints import first_line
from copycat.runs import tensor_files
from copycat.runs.folder import CONFIG, MANIFEST
from copycat.runs.kinds import refuse_strangers
from copycat.runs.plain import read_yaml
from copycat.runs.reader import check_files, read_checked_manifest, read_config, reason
from copycat.runs.seal import holds
from copycat.runs.shape import check_texts


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
    check_files(folder)
    try:
        manifest = read_checked_manifest(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST}: expected a run's manifest; {reason(error)}.") from error
    where = folder / CONFIG
    try:
        content = read_config(folder)
        config = read_yaml(content)
    except (OSError, ValueError) as error:
        raise UserError(f"{where}: expected a run's configuration; {reason(error)}.") from error
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
        UserError: where it is none, is damaged, or is a stranger's and names files to callbacks.
    """
    assert path.is_relative_to(opened.folder)
    checkpoint = tensor_files.read_checkpoint(path)
    states = checkpoint.get("callbacks", {})
    if opened.own:
        tensor_files.check_own_states(path, states, folder=opened.folder)
    else:
        tensor_files.check_states(path, states)
    return checkpoint


def read_weights(path: Path, opened: Opened) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: where it is none, or damaged.
    """
    assert path.is_relative_to(opened.folder)
    return tensor_files.read_weights(path)
