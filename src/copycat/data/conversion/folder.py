"""Write a data set as a folder with one sub-folder per class."""

from collections.abc import Sequence
from pathlib import Path

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.data.conversion.images import ImageRow, PlannedShard, find_ending
from copycat.data.progress import show_progress
from copycat.data.sources.converted import Manifest
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER


def write_folder(folder: Path, planned: Sequence[PlannedShard], about: Manifest) -> int:
    """Write ROOT/CLASS/NAME, or ROOT/PART/CLASS/NAME where there are several parts; return how many images were there.

    Raises:
        UserError: where images have several classes, a class is no name of a folder, or the folder is not to write to.
    """
    if about.separator is not None:
        raise UserError("--to: expected shards, webdataset or lance, as images have several classes; got folder.")
    for label in {label for shard in planned for label in shard.labels}:
        if label in (".", "..") or "/" in label or "\0" in label or label.startswith("."):
            raise UserError(f"--to: expected classes that are names of folders; got {label!r}. Type --to shards.")
    several = len({shard.part for shard in planned}) > 1
    total = sum(len(shard.names) for shard in planned)
    images = ((shard, row) for shard in planned for row in shard.read())
    used: set[str] = set()
    kept = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if about.synthetic:
            (folder / SYNTHETIC_MARKER).touch()
        for number, (_, row) in enumerate(show_progress(images, total=total, what="Writing images")):
            path = folder / _file_name(row, number, used, in_parts=several)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_bytes() == row.content:
                kept += 1
            elif path.exists():
                raise UserError(f"data convert: expected a new folder; {path} is there, with another content.")
            else:
                write_whole(path, row.content)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"data convert: expected a folder to write to, {folder}; {reason}.") from error
    return kept


def _file_name(row: ImageRow, number: int, used: set[str], *, in_parts: bool) -> str:
    """Return the path of an image; one whose name is missing or taken gets its number."""
    name = row.name or f"{number:08d}"
    ending = find_ending(name, row.content)
    name = name if name.lower().endswith(ending) else f"{name}{ending}"
    before = f"{row.part}/{row.label}" if in_parts else row.label
    path = f"{before}/{name}"
    if path in used:
        path = f"{before}/{number:08d}-{name.replace('/', '-')}"
    used.add(path)
    return path
