"""gallery.json: a run's most confident errors and least confident predictions."""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from copycat.inspection.callbacks.contact_sheet import Picture, jpeg_of
from copycat.records.dataclass_parser import made
from copycat.records.run_folder import write_whole
from copycat.records.safe_parsers import read_file, read_json

FILE = "gallery.json"
SIDE = 128
"""Side of an image in it in pixels, at most."""
MOST = 2**24
"""Bytes of the file, at most."""
MOST_PIXELS = 2**22
TITLES = {"wrong": "most wrong", "unsure": "least sure"}
"""Title of each kind."""


@dataclass(frozen=True)
class Shown:
    """Describe a validation image and its prediction."""

    kind: str
    index: int
    """Index of the image in the validation part."""
    name: str
    label: str
    said: str
    probability: float
    """Of the predicted class."""

    @property
    def words(self) -> str:
        """Return the caption: predicted class, its probability, true class."""
        return f"says {self.said}, {self.probability:.2f}\nis {self.label}"


def write_gallery(folder: Path, shown: Sequence[Shown], pictures: Sequence[Picture]) -> None:
    """Write the descriptions, and all images side by side in one.

    Args:
        folder: of the run.
        shown: a description for each image.
        pictures: the images, as many.
    """
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
    """Read the descriptions and images; empty where a run wrote none.

    Raises:
        ValueError: where the file is not a gallery.
    """
    try:
        content = read_json(read_file(folder / FILE, most=MOST))
    except FileNotFoundError:
        return []
    try:
        strip = _opened(b64decode(content["strip"], validate=True))
        shown = [made(Shown, one) for one in content["shown"]]
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
