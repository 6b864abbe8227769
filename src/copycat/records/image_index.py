"""Read and write images.csv: a digest of every image of a run, so that a later difference can be named."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from weakref import WeakKeyDictionary

from copycat.config.atomic_write import write_whole
from copycat.data.datamodule import DataModule
from copycat.records.safe_parsers import read_file

FILE = "images.csv"
MAX_BYTES = 2**28
"""Maximum size of a file to read, in bytes."""
MAX_IMAGES = 100_000
"""Maximum number of images; of larger data sets only the digests of the parts are recorded."""


@dataclass(frozen=True)
class ImageRecord:
    """Represent one row of images.csv."""

    part: str
    label: int
    digest: str
    name: str

    def __str__(self) -> str:
        """Return part and name, as messages print them."""
        return f"{self.part}: {self.name}"


def index_images(data: DataModule) -> list[ImageRecord] | None:
    """Return all images in their order, or None where there are more than MAX_IMAGES."""
    if sum(len(part) for part in data.parts.values()) > MAX_IMAGES:
        return None
    return [
        ImageRecord(name, label, digest, image_name)
        for name, part in data.parts.items()
        for label, digest, image_name in zip(part.labels.tolist(), part.digests, part.names, strict=True)
    ]


_contents: WeakKeyDictionary[DataModule, bytes] = WeakKeyDictionary()
"""Content of the file, by data: trials of a pack share data."""


def write_images(folder: Path, data: DataModule) -> None:
    """Write images.csv; nothing where there are more than MAX_IMAGES images."""
    if data not in _contents:
        if (images := index_images(data)) is None:
            return
        _contents[data] = _content(images)
    write_whole(folder / FILE, _contents[data])


def _content(images: Iterable[ImageRecord]) -> bytes:
    text = StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["part", "label", "digest", "name"])
    rows.writerows([image.part, image.label, image.digest, _cell(image.name)] for image in images)
    return text.getvalue().encode(errors="surrogatepass")


def _cell(name: str) -> str:
    """Escape a name that a spreadsheet would take for a formula, or that begins with the escape character."""
    return f"'{name}" if name.startswith(("'", *"=+-@")) else name


def training_digests(images: Iterable[ImageRecord]) -> set[str]:
    """Return the digests of the training images."""
    return {image.digest for image in images if image.part == "train"}


def read_images(folder: Path) -> list[ImageRecord] | None:
    """Read images.csv; None where it is missing or damaged."""
    try:
        text = read_file(folder / FILE, max_bytes=MAX_BYTES).decode(errors="surrogatepass")
        return [
            ImageRecord(row["part"], int(row["label"]), row["digest"], row["name"].removeprefix("'"))
            for row in csv.DictReader(StringIO(text, newline=""), strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return None
