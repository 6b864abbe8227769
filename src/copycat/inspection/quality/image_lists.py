"""Show the images that a deep check found: thumbnails, which a run folder keeps in quality.json."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from copycat.config.atomic_write import write_whole
from copycat.inspection.callbacks.contact_sheet import encode_jpeg
from copycat.inspection.reports.contents import Section, Table, Thumbnail
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.safe_parsers import read_file, read_json

FILE = "quality.json"
MAX_BYTES, MAX_PIXELS = 2**25, 2**16
"""Bytes of the file, and pixels of an image in it, at most."""


@dataclass(frozen=True)
class ImageList:
    """Hold the first images of one kind of finding."""

    title: str
    note: str
    count: int
    """Groups of near-duplicates, or images."""
    images: list[list[Thumbnail]]

    @property
    def section(self) -> Section:
        """Return the section of a page."""
        shown = len(self.images)
        first = f" The first {shown} of {self.count}." if shown < self.count else ""
        return Section(title=f"{self.title}: {self.count}", note=self.note + first, thumbnails=self.images)


def write_image_lists(folder: Path, lists: Sequence[ImageList]) -> None:
    """Write quality.json."""
    content = [
        {
            "title": each.title,
            "note": each.note,
            "count": each.count,
            "images": [
                [
                    {"jpeg": b64encode(image.jpeg).decode(), "name": image.name, "caption": image.caption}
                    for image in group
                ]
                for group in each.images
            ],
        }
        for each in lists
    ]
    write_whole(folder / FILE, json.dumps(content, ensure_ascii=False).encode(errors="replace"))


def read_image_lists(folder: Path) -> list[ImageList]:
    """Read quality.json; empty where a run wrote none.

    Raises:
        ValueError: where the file holds anything else.
    """
    try:
        content = read_json(read_file(folder / FILE, max_bytes=MAX_BYTES))
    except FileNotFoundError:
        return []
    try:
        return [parse_dataclass(ImageList, {**each, "images": _parse_groups(each["images"])}) for each in content]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from error


def _parse_groups(groups: Sequence[Sequence[Mapping[str, str]]]) -> list[list[Thumbnail]]:
    return [[_parse_thumbnail(values) for values in group] for group in groups]


def _parse_thumbnail(values: Mapping[str, str]) -> Thumbnail:
    return parse_dataclass(Thumbnail, {**values, "jpeg": _check_jpeg(b64decode(values["jpeg"], validate=True))})


def _check_jpeg(jpeg: bytes) -> bytes:
    """Decode a thumbnail and encode it again: a page must not hold anything else that a browser could decode."""
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"an image has more than {MAX_PIXELS} pixels")
            return encode_jpeg(np.asarray(image.convert("RGB")))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("an image is damaged") from error


def make_sections(lists: Sequence[ImageList]) -> Iterator[Section]:
    """Make the sections of a run's report: a table of all checks, and the images of those that found some."""
    if lists:
        rows = [[each.title, str(each.count), each.note] for each in lists]
        yield Section(title="Data quality", table=Table(rows, head=["", "found", "how"]))
        yield from (each.section for each in lists if each.images)
