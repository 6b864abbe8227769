"""Contact sheets: several images in one, each with a caption below it."""

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
"""Pixels of an image in a sheet, at most; a smaller one is enlarged by the largest whole factor that fits."""
GAP = 6
LINE = 14
"""Height of a line of a caption, in pixels."""
INK, GROUND = (26, 26, 26), (255, 255, 255)
"""Colors of text and background."""


def sheet(images: Sequence[Picture], words: Sequence[str] = (), *, side: int = SIDE, columns: int = 4) -> Picture:
    """Arrange images in one, row by row.

    Args:
        images: each uint8 [height, width, 3].
        words: a caption for each; lines are separated by newlines, and cut where they are wider than the image.
        side: pixels of an image, at most.
        columns: images in a row, at most.
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
    """Copy an image into a larger one."""
    height, width, _ = image.shape
    whole[top : top + height, left : left + width] = image


@lru_cache(1024)
def _line(text: str, width: int) -> Picture:
    """Draw a line of a caption; cached, since it is slow and the runs of a sweep share captions."""
    while font().getlength(text) > width:
        text = f"{text[:-2]}…"
    found = Image.new("RGB", (width, LINE), GROUND)
    ImageDraw.Draw(found).text((0, 0), text, fill=INK, font=font())
    return np.asarray(found)


def fitted(image: Picture, *, side: int) -> Picture:
    """Return an image in the size of its cell; each pixel of a smaller one becomes a square of several."""
    larger = side // max(image.shape[:2])
    return image.repeat(larger, axis=0).repeat(larger, axis=1) if larger > 1 else within(image, side=side)


def within(image: Picture, *, side: int) -> Picture:
    """Return an image scaled down to at most `side` pixels a side."""
    if max(image.shape[:2]) <= side:
        return image
    found = Image.fromarray(image)
    found.thumbnail((side, side))
    return np.asarray(found)


@cache
def font() -> Any:
    """Load Pillow's default font, once."""
    return ImageFont.load_default(size=11)


def png_of(picture: Picture) -> bytes:
    """Encode an image as PNG."""
    Image.fromarray(picture).save(found := BytesIO(), "PNG", compress_level=1)
    return found.getvalue()


def jpeg_of(picture: Picture) -> bytes:
    """Encode a photograph as JPEG, in a fifth of PNG's time; its pixels change slightly."""
    Image.fromarray(picture).save(found := BytesIO(), "JPEG", quality=92, subsampling=0)
    return found.getvalue()


def summary_of(tag: str, picture: Picture, *, photo: bool = False) -> Summary:
    """Make a TensorBoard image summary.

    Args:
        tag: its name in TensorBoard.
        picture: uint8 [height, width, 3].
        photo: encode it as JPEG instead of PNG.
    """
    height, width, _ = picture.shape
    content = jpeg_of(picture) if photo else png_of(picture)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    return Summary(value=[Summary.Value(tag=tag, image=image)])
