"""Images side by side in one, each with a line of words below it."""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary

Picture = NDArray[np.uint8]
"""[height, width, 3]."""
SIDE = 128
"""Pixels of an image in a sheet, at most; a smaller one is shown as many times as large as fits."""
GAP = 6
LINE = 14
"""Pixels of a line of words."""
INK, GROUND = (26, 26, 26), (255, 255, 255)


def sheet(images: Sequence[Picture], words: Sequence[str] = (), *, side: int = SIDE, columns: int = 8) -> Picture:
    """One image of them all, row by row.

    Args:
        words: below each; lines are parted by newlines, and cut where they are longer than the image is wide.
        side: pixels of an image, at most.
    """
    shown = [fitted(image, side=side) for image in images]
    side = max(max(image.size) for image in shown)
    lines = max((said.count("\n") + 1 for said in words), default=0)
    columns = min(columns, len(shown))
    width, height = side + GAP, side + GAP + lines * LINE
    whole = Image.new("RGB", (columns * width + GAP, -(-len(shown) // columns) * height + GAP), GROUND)
    draw = ImageDraw.Draw(whole)
    for place, image in enumerate(shown):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        whole.paste(image, (left + (side - image.width) // 2, top + (side - image.height) // 2))
        if words:
            said = "\n".join(_cut(line, side) for line in words[place].split("\n"))
            draw.multiline_text((left, top + side + 1), said, fill=INK, font=font(), spacing=1)
    return np.asarray(whole)


def _cut(line: str, width: int) -> str:
    while font().getlength(line) > width:
        line = f"{line[:-2]}…"
    return line


def fitted(image: Picture, *, side: int) -> Image.Image:
    """No larger than a place in a sheet; where it is smaller, each pixel becomes a square of several."""
    found = Image.fromarray(image)
    larger = side // max(found.size)
    if larger > 1:
        return found.resize((found.width * larger, found.height * larger), Image.Resampling.NEAREST)
    if max(found.size) > side:
        found.thumbnail((side, side))
    return found


@cache
def font() -> Any:
    return ImageFont.load_default(size=11)


def png_of(picture: Picture) -> bytes:
    Image.fromarray(picture).save(found := BytesIO(), "PNG", compress_level=1)
    return found.getvalue()


def summary_of(tag: str, picture: Picture) -> Summary:
    """As TensorBoard's images."""
    height, width, _ = picture.shape
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png_of(picture))
    return Summary(value=[Summary.Value(tag=tag, image=image)])
