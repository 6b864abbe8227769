"""gallery.json: a run's most confident errors and least confident predictions."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from copycat.config.atomic_write import write_whole
from copycat.inspection.callbacks.contact_sheet import Picture, encode_jpeg
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.safe_parsers import read_file, read_json

FILE = "gallery.json"
SIDE = 128
"""Side of an image in it in pixels, at most."""
MAX_BYTES = 2**24
"""Bytes of the file, at most."""
MAX_PIXELS = 2**22
TITLES = {"wrong": "most confident errors", "unsure": "least confident predictions"}
"""Title of each kind."""


@dataclass(frozen=True)
class GalleryItem:
    """Describe a validation image and its prediction."""

    kind: str
    index: int
    """Index of the image in the validation part."""
    name: str
    label: str
    predicted: str
    probability: float
    """Of the predicted class; of several classes, that of the least sure one to be as predicted."""

    @property
    def caption(self) -> str:
        """Return the caption: predicted class, its probability, true class."""
        return f"predicted {self.predicted}, {self.probability:.2f}\ntrue {self.label}"


def write_gallery(folder: Path, items: Sequence[GalleryItem], pictures: Sequence[Picture]) -> None:
    """Write the descriptions, and all images side by side in one."""
    height = max((picture.shape[0] for picture in pictures), default=1)
    strip = np.zeros((height, sum(picture.shape[1] for picture in pictures) or 1, 3), dtype=np.uint8)
    left = 0
    for picture in pictures:
        strip[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1]
    content = {
        "shown": [vars(item) for item in items],
        "sizes": [[*picture.shape[:2]] for picture in pictures],
        "strip": b64encode(encode_jpeg(strip)).decode(),
    }
    write_whole(folder / FILE, json.dumps(content, ensure_ascii=False).encode(errors="replace"))


def read_gallery(folder: Path) -> list[tuple[GalleryItem, Picture]]:
    """Read the descriptions and images; empty where a run wrote none.

    Raises:
        ValueError: where the file is not a gallery.
    """
    try:
        content = read_json(read_file(folder / FILE, max_bytes=MAX_BYTES))
    except FileNotFoundError:
        return []
    try:
        strip = _decode(b64decode(content["strip"], validate=True))
        items = [parse_dataclass(GalleryItem, _with_current_keys(item)) for item in content["shown"]]
        entries, left = [], 0
        for item, (height, width) in zip(items, content["sizes"], strict=True):
            entries.append((item, strip[:height, left : left + width]))
            left += width
            if not entries[-1][1].size:
                raise ValueError("an image is missing")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(str(error)) from error
    return entries


def _with_current_keys(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description under the present key names: `predicted` was `said`."""
    return {"predicted" if name == "said" else name: value for name, value in item.items()}


def _decode(jpeg: bytes) -> Picture:
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"its images have more than {MAX_PIXELS} pixels")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("its images are damaged") from error
