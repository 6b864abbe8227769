"""Open run folders: read them without executing anything, and check what untrusted ones may build."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from copycat.config.errors import UserError
from copycat.config.own_modules import allow_own_modules
from copycat.config.suggestions import first_line, one_of
from copycat.config.untrusted import check_untrusted, without_downloads
from copycat.config.validation import check_recorded
from copycat.records.digests import recorded_digests
from copycat.records.lock import current_status
from copycat.records.manifest_schema import check_texts
from copycat.records.reader import (
    check_run_folder,
    find_runs,
    missing_file,
    parse_config,
    read_checked_manifest,
    rename_keys,
)
from copycat.records.run_folder import CONFIG, MANIFEST, SEARCH_FOLDER, SEARCH_TABLE, SWEEP, WEIGHTS, as_recorded
from copycat.records.signature import is_signed

if TYPE_CHECKING:
    from torch import Tensor

FIRST_SCHEMA = 1
"""Its configurations have other keys, its checkpoints no hash, and few packages are recorded."""
_FORMER_CHECKPOINT = "copycat.runs.checkpoints.SparseCheckpoint"
_REMOVED_ARGUMENTS = ("_target_", "save_on_train_epoch_end", "enable_version_counter")
"""Its arguments without a counterpart."""


@dataclass(frozen=True)
class Opened:
    """Hold the content of an opened run folder."""

    folder: Path
    """Path of the files, with links resolved."""
    manifest: dict[str, Any] = field(repr=False)
    config: dict[str, Any] = field(repr=False)
    own: bool
    """Whether the user made it, by its signature."""
    user_path: Path
    """Path as the user typed it, which may be a link."""


def open_run(folder: Path) -> Opened:
    """Read a run folder, and check what may be built from it, without building anything.

    A command opens each of its runs once, and passes the result on.

    Raises:
        UserError: where the folder is no run, its files are invalid, or it is untrusted and needs to be trusted.
    """
    check_run_folder(folder)
    user_path = folder
    if folder.is_symlink():
        folder = folder.resolve()
    manifest = read_checked_manifest(folder)
    where = folder / CONFIG
    content, config = parse_config(folder)
    if manifest["schema"] == FIRST_SCHEMA:
        config = _upgrade_config(config)
    own = is_signed(content, as_recorded(manifest))
    config, manifest = rename_keys(config, manifest)
    if not own:
        try:
            check_texts(manifest)
        except ValueError as error:
            raise UserError(
                f"{folder / MANIFEST}: {first_line(error)}, and this folder is not signed by you. Write another."
            ) from error
        # late: it imports Lightning, which an own run does not need
        from copycat.records.target_policy import make_untrusted_check

        check_untrusted(config, where=str(where), refuse=make_untrusted_check())
    check_recorded(config, where=str(where))
    if own:
        config = _with_moved_table(config, folder)
        allow_own_modules(config)
    else:
        config = without_downloads(config)
    return Opened(folder, manifest, config, own, user_path)


def _with_moved_table(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a configuration with the table of a search where it lies now, if the search's folder has moved."""
    file = Path((config.get("data") or {}).get("file") or "")
    if file.name != SEARCH_TABLE or file.exists():
        return config
    sweeps = (parent for parent in folder.absolute().parents[:2] if (parent / SEARCH_FOLDER / SWEEP).is_file())
    table = next((place / SEARCH_TABLE for place in sweeps), None)
    return config if table is None else {**config, "data": {**config["data"], "file": str(table)}}


def _upgrade_config(config: Any) -> Any:
    """Rename the keys and classes of the first schema; leave values of unexpected types to later checks."""
    if not isinstance(config, dict):
        return config
    callbacks = config.get("callbacks")
    if isinstance(callbacks, dict):
        callbacks = {name: _upgrade_checkpoint(node) for name, node in callbacks.items()}
    return {"augmentation": {"_target_": "copycat.data.augmentation.Unchanged"}, **config, "callbacks": callbacks}


def _upgrade_checkpoint(node: Any) -> Any:
    if not isinstance(node, dict) or node.get("_target_") != _FORMER_CHECKPOINT:
        return node
    target = f"copycat.runs.checkpoints.{'BestCheckpoint' if node.get('monitor') else 'LastCheckpoint'}"
    return {"_target_": target, **{name: value for name, value in node.items() if name not in _REMOVED_ARGUMENTS}}


def open_recorded(folder: Path) -> Opened:
    """Open the folder of a run as `open_run` does; raise a UserError also for a folder of several runs."""
    if not (folder / MANIFEST).exists() and (trials := [str(trial.relative_to(folder)) for trial in find_runs(folder)]):
        raise UserError(
            f"{folder}: expected one run; got a folder of {len(trials)}: {one_of(trials)}."
            f" The best of them: copycat runs --best {quote(str(folder))}."
        )
    return open_run(folder)


def check_has_weights(opened: Opened) -> None:
    """Raise a UserError for a run without final weights: it has not completed, or the file is missing."""
    if (opened.folder / WEIGHTS).exists():
        return
    status = current_status(opened.manifest["status"], opened.folder)
    if status == "completed":
        raise missing_file(opened.user_path / WEIGHTS)
    raise UserError(f"{opened.user_path}: expected a completed run, with {WEIGHTS}; this one is {status}.")


def read_checkpoint(path: Path, opened: Opened) -> dict[str, Any]:
    """Read a checkpoint of a run: tensors and plain containers.

    Raises:
        UserError: where it is invalid or damaged, or names files to callbacks and was not written by the user.
    """
    from copycat.records import safe_tensors
    from copycat.records.checkpoint_file import is_own

    assert path.is_relative_to(opened.folder)
    checkpoint = safe_tensors.read_checkpoint(path)
    try:
        safe_tensors.check_states(path, checkpoint.get("callbacks", {}))
    except UserError:
        if not (opened.own and is_own(path)):  # the run's signature covers run.json and config.yaml alone
            raise
    return checkpoint


def read_weights(path: Path, opened: Opened) -> "Mapping[str, Tensor]":
    """Read the final weights of a run; raise a UserError where they are damaged, or not those that it recorded."""
    from copycat.records import safe_tensors

    assert path.is_relative_to(opened.folder)
    return safe_tensors.read_weights(path, digest=recorded_digests(opened.manifest).get(WEIGHTS))
