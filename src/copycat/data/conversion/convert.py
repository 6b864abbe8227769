"""Convert a loaded data set to another form, image by image, as its files are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from copycat.data.conversion.folder import write_folder
from copycat.data.conversion.images import PlannedShard, plan_shards
from copycat.data.conversion.shards import write_shards
from copycat.data.labels import SEPARATOR
from copycat.data.sources.converted import COPIES, Manifest, pixel_settings
from copycat.data.sources.image_source import ImageSource
from copycat.data.split import Part

Writer = Callable[[Path, Sequence[PlannedShard], Manifest], int]
"""Writes the planned shards that are not there yet, and returns how many were."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Report what a conversion did."""

    images: int
    shards: int
    kept: int
    """Shards that an earlier conversion had written whole."""
    unreadable: int
    lost: Sequence[str]
    """What the form does not hold of this data set."""


def convert(source: ImageSource, to: Path, *, form: str, rows: int) -> Conversion:
    """Write the images of a source in another form, with classes, labels, parts and groups.

    Each image is decoded once, for the digests that spare later runs their first reading; its bytes are copied.

    Args:
        source: reads its images when they are needed, not into memory.
        to: folder to write.
        form: one of FORMS.
        rows: images of a shard.

    Raises:
        UserError: where the source is unreadable, or the folder cannot be written to or holds other files.
    """
    parts = source.load()
    planned = [
        shard for name, part in parts.items() for shard in plan_shards(name, part, list(source.classes), rows=rows)
    ]
    about = Manifest(
        form=form,
        classes=list(source.classes),
        separator=SEPARATOR if parts["train"].is_multi_label else None,
        synthetic=source.synthetic,
        settings=pixel_settings(source.size, source.fit, source.max_pixels),
        shards={},
    )
    with FileLock(to.absolute().with_name(f".{to.name}.lock")):
        kept = _find_writer(form)(to, planned, about)
    return Conversion(
        images=sum(len(part) for part in parts.values()),
        shards=len(planned),
        kept=kept,
        unreadable=sum(len(part.unreadable) for part in parts.values()),
        lost=_find_lost(parts, about),
    )


def _find_lost(parts: Mapping[str, Part], about: Manifest) -> list[str]:
    """Return what a folder does not hold; it has the classes in the order of their names."""
    lost = {
        "the order of the classes": list(about.classes) != sorted(about.classes),
        "groups": any(part.groups is not None for part in parts.values()),
    }
    return [what for what, is_there in lost.items() if is_there] if about.form == "folder" else []


def _find_writer(form: str) -> Writer:
    if form in COPIES:
        return write_shards
    if form == "folder":
        return write_folder
    from copycat.data.conversion.lance_rows import write_lance  # needs its package

    return write_lance
