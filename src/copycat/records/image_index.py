"""Read, write and compare images.csv: a digest of every image of a run, so that a later difference can be named."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from copycat.config.atomic_write import write_whole
from copycat.config.suggestions import one_of, pluralize
from copycat.data.labels import SEPARATOR, label_codes
from copycat.records.run_folder import IMAGES
from copycat.records.safe_parsers import read_file

if TYPE_CHECKING:  # it imports torch, which comparing runs needs not
    from copycat.data.datamodule import DataModule

FILE = IMAGES
MAX_IMAGES = 100_000
"""Maximum number of images; of larger data sets only the digests of the parts are recorded."""


@dataclass(frozen=True)
class ImageRecord:
    """Represent one row of images.csv."""

    part: str
    label: str
    """Index of the class, or those of several as `0;2`."""
    digest: str
    name: str
    group: str | None = None
    """None where the source has no groups."""

    def __str__(self) -> str:
        """Return part and name, as messages print them."""
        return f"{self.part}: {self.name}"


def index_images(data: "DataModule") -> list[ImageRecord] | None:
    """Return all images in their order, or None where there are more than MAX_IMAGES."""
    if sum(len(part) for part in data.parts.values()) > MAX_IMAGES:
        return None
    return [
        ImageRecord(name, label, digest, image_name, group)
        for name, part in data.parts.items()
        for label, digest, image_name, group in zip(
            label_codes(part.labels), part.digests, part.names, part.groups or repeat(None, len(part)), strict=True
        )
    ]


_contents: WeakKeyDictionary["DataModule", bytes] = WeakKeyDictionary()
"""Content of the file, by data: trials of a pack share data."""


def write_images(folder: Path, data: "DataModule") -> None:
    """Write images.csv; nothing where there are more than MAX_IMAGES images."""
    if data not in _contents:
        if (images := index_images(data)) is None:
            return
        text = StringIO(newline="")
        rows = csv.writer(text)
        has_groups = any(image.group is not None for image in images)
        rows.writerow(["part", "label", "digest", "name", *["group"] * has_groups])
        for image in images:
            group = [_cell(image.group or "")] * has_groups
            rows.writerow([image.part, image.label, image.digest, _cell(image.name), *group])
        _contents[data] = text.getvalue().encode(errors="surrogatepass")
    write_whole(folder / FILE, _contents[data])


def _cell(name: str) -> str:
    """Escape a name that a spreadsheet would take for a formula, or that begins with the escape character."""
    return f"'{name}" if name.startswith(("'", *"=+-@")) else name


def _group(cell: str | None) -> str | None:
    return None if cell is None else cell.removeprefix("'")


def _check_code(cell: str) -> str:
    if not all(place.isdecimal() for place in cell.split(SEPARATOR) if cell):
        raise ValueError(f"expected a label; got {cell!r:.80}")
    return cell


def training_digests(images: Iterable[ImageRecord]) -> set[str]:
    """Return the digests of the training images."""
    return {image.digest for image in images if image.part == "train"}


def read_images(folder: Path) -> list[ImageRecord] | None:
    """Read images.csv; None where it is missing or damaged."""
    try:
        text = read_file(folder / FILE).decode(errors="surrogatepass")
        return [
            ImageRecord(
                row["part"],
                _check_code(row["label"]),
                row["digest"],
                row["name"].removeprefix("'"),
                _group(row.get("group")),
            )
            for row in csv.DictReader(StringIO(text, newline=""), strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return None


def image_changes(before: Sequence[ImageRecord], after: Sequence[ImageRecord]) -> tuple[str, list[str]]:
    """Describe the differing images in one line, and in one line per image."""
    repeated = {name for images in (before, after) for name, count in Counter(map(str, images)).items() if count > 1}
    old, new = (_by_key(images, repeated) for images in (before, after))
    both = [key for key in old if key in new]
    kinds = {
        "with other pixels": [key for key in both if old[key].digest != new[key].digest],
        "with another label": [key for key in both if old[key].label != new[key].label],
        "gone": [key for key in old if key not in new],
        "new": [key for key in new if key not in old],
    }
    changes = {kind: keys for kind, keys in kinds.items() if keys}
    if not changes:
        return "the same images in another order", []
    changed = list(dict.fromkeys(key for keys in changes.values() for key in keys))
    verb = "differs" if len(changed) == 1 else "differ"
    details = [f"{name}, {kind}" for kind, keys in changes.items() for name, *_ in keys]
    line = f"{pluralize(len(changed), 'image')} {verb}: {one_of([name for name, *_ in changed], most=4)}"
    return line, details if len(details) > 1 else list(changes)


def _by_key(images: Sequence[ImageRecord], repeated: Collection[str]) -> dict[tuple[str, str, int], ImageRecord]:
    """Return images by what identifies them: part and name; of shards, whose names may repeat, the label too."""
    seen: Counter[tuple[str, str]] = Counter()
    keyed = {}
    for image in images:
        key = str(image), image.label if str(image) in repeated else ""
        seen[key] += 1
        keyed[*key, seen[key]] = image
    return keyed
