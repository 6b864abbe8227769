"""Remove what `find_removable` found, and record it, so that a later comparison knows what is missing."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from copycat.archives.removable import Removable, SkippedFolder, check_own, is_untrained
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.records.lock import locked
from copycat.records.reader import check_files
from copycat.records.run_folder import read_manifest, remove_empty_folders, write_manifest


def remove(found: Iterable[Removable], *, root: Path) -> Iterator[Removable | SkippedFolder]:
    """Remove files, and yield what was removed and what could not be.

    A folder is locked meanwhile, and checked again: it may have changed since it was found.
    """
    for one in found:
        try:
            _REMOVERS[one.kind](one)
            if one.kind == "untrained":
                remove_empty_folders(one.owner.parent, root)
        except (UserError, OSError, ValueError) as error:
            yield SkippedFolder(one.owner, first_line(error).removeprefix(f"{one.owner}: "))
            continue
        yield one


def _remove_checkpoints(one: Removable) -> None:
    """Move the digests of checkpoints in run.json from `files` to `cleaned`, and then delete the files."""
    with ExitStack() as context:
        context.enter_context(locked(one.owner.parent, of="sweep"))
        check_own(one.owner)
        context.enter_context(locked(one.owner))
        manifest = read_manifest(one.owner)
        files = dict(manifest.get("files", {}))
        names = [path.relative_to(one.owner).as_posix() for path in one.paths]
        cleaned = {**manifest.get("cleaned", {}), **{name: files.pop(name, None) for name in names}}
        write_manifest(one.owner, {**manifest, "files": files, "cleaned": cleaned})
        for path in one.paths:
            path.unlink(missing_ok=True)


def _remove_untrained(one: Removable) -> None:
    manifest = check_own(one.owner)
    if not is_untrained(one.owner, manifest):
        raise UserError("it has changed since")
    with locked(one.owner):
        shutil.rmtree(one.owner)


def _remove_damaged(one: Removable) -> None:
    with locked(one.owner, of="sweep"):
        _remove_folders(one)


def _remove_folders(one: Removable) -> None:
    for path in one.paths:
        if path.is_dir() and not path.is_symlink():
            check_files(path)
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_files(one: Removable) -> None:
    for path in one.paths:
        path.unlink(missing_ok=True)


_REMOVERS = {
    "checkpoints": _remove_checkpoints,
    "damaged": _remove_damaged,
    "untrained": _remove_untrained,
    "temporary": _remove_folders,
    "caches": _remove_files,
}
