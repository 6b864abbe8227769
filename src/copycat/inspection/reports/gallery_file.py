"""gallery.json: the images that a run's final weights get most wrong, and those that they are least sure of."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from copycat.inspection.callbacks.contact_sheet import Picture, jpeg_of
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.run_folder import write_whole
from copycat.records.safe_parsers import read_file, read_json

FILE = "gallery.json"
SIDE = 128
"""Pixels of an image in it, at most."""
MOST = 2**24
"""Bytes of the file, at most."""
MOST_PIXELS = 2**22
TITLES = {"wrong": "most wrong", "unsure": "least sure"}
"""By kind."""


@dataclass(frozen=True)
class Shown:
    """An image of the validation part, and what was said of it."""

    kind: str
    index: int
    """Its place in the part."""
    name: str
    label: str
    said: str
    probability: float
    """Of what was said."""

    @property
    def words(self) -> str:
        return f"says {self.said}, {self.probability:.2f}\nis {self.label}"


def write_gallery(folder: Path, shown: Sequence[Shown], pictures: Sequence[Picture]) -> None:
    """Write what was said, and all images side by side in one."""
    height = max((picture.shape[0] for picture in pictures), default=1)
    strip = np.zeros((height, sum(picture.shape[1] for picture in pictures) or 1, 3), dtype=np.uint8)
    left = 0
    for picture in pictures:
        strip[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1]
    content = {
        "shown": [vars(one) for one in shown],
        "sizes": [[*picture.shape[:2]] for picture in pictures],
        "strip": b64encode(jpeg_of(strip)).decode(),
    }
    write_whole(folder / FILE, json.dumps(content, ensure_ascii=False).encode(errors="replace"))


def read_gallery(folder: Path) -> list[tuple[Shown, Picture]]:
    """Empty where a run wrote none.

    Raises:
        ValueError: where it is no such file.
    """
    try:
        content = read_json(read_file(folder / FILE, max_bytes=MOST))
    except FileNotFoundError:
        return []
    try:
        strip = _opened(b64decode(content["strip"], validate=True))
        shown = [parse_dataclass(Shown, one) for one in content["shown"]]
        found, left = [], 0
        for one, (height, width) in zip(shown, content["sizes"], strict=True):
            found.append((one, strip[:height, left : left + width]))
            left += width
            if not found[-1][1].size:
                raise ValueError("an image is missing")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{FILE}: {error}") from error
    return found


def _opened(jpeg: bytes) -> Picture:
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"its images have more than {MOST_PIXELS} pixels")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("its images are damaged") from error
