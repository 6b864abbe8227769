"""Images side by side in one, each with a line of words below it."""

from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary

Picture = NDArray[np.uint8]
"""[height, width, 3]."""
SIDE = 104
"""Pixels of an image in a sheet, at most; a smaller one is shown as many times as large as fits."""
GAP = 6
LINE = 14
"""Pixels of a line of words."""
INK, GROUND = (26, 26, 26), (255, 255, 255)
"""Greys."""


def sheet(images: Sequence[Picture], words: Sequence[str] = (), *, side: int = SIDE, columns: int = 4) -> Picture:
    """One image of them all, row by row.

    Args:
        words: below each; lines are parted by newlines, and cut where they are longer than the image is wide.
        side: pixels of an image, at most.
    """
    shown = [fitted(image, side=side) for image in images]
    tall = max(image.shape[0] for image in shown)
    wide = side if words else max(image.shape[1] for image in shown)
    lines = max((said.count("\n") + 1 for said in words), default=0)
    columns = min(columns, len(shown))
    width, height = wide + GAP, tall + GAP + lines * LINE
    rows = -(-len(shown) // columns)
    whole = np.full((rows * height + GAP, columns * width + GAP, 3), GROUND[0], dtype=np.uint8)
    for place, image in enumerate(shown):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        paste(whole, image, left, top + tall - image.shape[0])
        for number, line in enumerate(words[place].split("\n") if words else ()):
            paste(whole, _line(line, wide), left, top + tall + 1 + number * LINE)
    return whole


def paste(whole: Picture, image: Picture, left: int, top: int) -> None:
    """Draw an image into another, which has room for it."""
    height, width, _ = image.shape
    whole[top : top + height, left : left + width] = image


@lru_cache(1024)
def _line(text: str, width: int) -> Picture:
    """A line of words, which takes longer to draw than an image: runs of a sweep say the same again and again."""
    while font().getlength(text) > width:
        text = f"{text[:-2]}…"
    found = Image.new("RGB", (width, LINE), GROUND)
    ImageDraw.Draw(found).text((0, 0), text, fill=INK, font=font())
    return np.asarray(found)


def fitted(image: Picture, *, side: int) -> Picture:
    """No larger than a place in a sheet; where it is smaller, each pixel becomes a square of several."""
    larger = side // max(image.shape[:2])
    return image.repeat(larger, axis=0).repeat(larger, axis=1) if larger > 1 else within(image, side=side)


def within(image: Picture, *, side: int) -> Picture:
    """Made smaller where it is larger than so many pixels a side."""
    if max(image.shape[:2]) <= side:
        return image
    found = Image.fromarray(image)
    found.thumbnail((side, side))
    return np.asarray(found)


@cache
def font() -> Any:
    return ImageFont.load_default(size=11)


def png_of(picture: Picture) -> bytes:
    Image.fromarray(picture).save(found := BytesIO(), "PNG", compress_level=1)
    return found.getvalue()


def jpeg_of(picture: Picture) -> bytes:
    """Of photographs, in a fifth of PNG's time; its pixels are near what they were."""
    Image.fromarray(picture).save(found := BytesIO(), "JPEG", quality=92, subsampling=0)
    return found.getvalue()


def summary_of(tag: str, picture: Picture, *, photo: bool = False) -> Summary:
    """As TensorBoard's images.

    Args:
        photo: as JPEG.
    """
    height, width, _ = picture.shape
    content = jpeg_of(picture) if photo else png_of(picture)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    return Summary(value=[Summary.Value(tag=tag, image=image)])
