"""Contact sheets: several images in one, each with a caption below it."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

Picture = NDArray[np.uint8]
"""[height, width, 3]."""
SIDE = 104
"""Pixels of an image in a sheet, at most; a smaller one is enlarged by the largest whole factor that fits."""
GAP = 6
LINE_HEIGHT = 14
"""Height of a line of a caption, in pixels."""
FOREGROUND, BACKGROUND = (26, 26, 26), (255, 255, 255)
"""Colors of text and background."""


def contact_sheet(
    images: Sequence[Picture], captions: Sequence[str] = (), *, side: int = SIDE, columns: int = 4
) -> Picture:
    """Arrange images, uint8 [height, width, 3], row by row in one, each of `side` pixels at most.

    Captions may have several lines; these are cut where they are wider than the image.
    """
    cells = [fit_to_cell(image, side=side) for image in images]
    cell_height = max(image.shape[0] for image in cells)
    cell_width = side if captions else max(image.shape[1] for image in cells)
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    columns = min(columns, len(cells))
    width, height = cell_width + GAP, cell_height + GAP + lines * LINE_HEIGHT
    rows = -(-len(cells) // columns)
    canvas = np.full((rows * height + GAP, columns * width + GAP, 3), BACKGROUND[0], dtype=np.uint8)
    for index, image in enumerate(cells):
        left, top = GAP + index % columns * width, GAP + index // columns * height
        paste(canvas, image, left, top + cell_height - image.shape[0])
        for number, line in enumerate(captions[index].split("\n") if captions else ()):
            paste(canvas, _draw_line(line, cell_width), left, top + cell_height + 1 + number * LINE_HEIGHT)
    return canvas


def paste(canvas: Picture, image: Picture, left: int, top: int) -> None:
    """Copy an image into a larger one."""
    height, width, _ = image.shape
    canvas[top : top + height, left : left + width] = image


@lru_cache(1024)
def _draw_line(text: str, width: int) -> Picture:
    """Draw a line of a caption; cached, since it is slow and the runs of a sweep share captions."""
    image = Image.new("RGB", (width, LINE_HEIGHT), BACKGROUND)
    draw_text(ImageDraw.Draw(image), (0, 0), text, width)
    return np.asarray(image)


def draw_text(draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, width: int) -> None:
    """Draw a text, cut where it is wider than `width` pixels."""
    font = load_font() if text.isascii() else load_wide_font()
    while font.getlength(text) > width:
        text = f"{text[:-2]}…"
    draw.text(position, text, fill=FOREGROUND, font=font)


def fit_to_cell(image: Picture, *, side: int) -> Picture:
    """Return an image in the size of its cell; each pixel of a smaller one becomes a square of several."""
    factor = side // max(image.shape[:2])
    return image.repeat(factor, axis=1).repeat(factor, axis=0) if factor > 1 else shrink(image, side=side)


def shrink(image: Picture, *, side: int) -> Picture:
    """Return an image scaled down to at most `side` pixels a side."""
    if max(image.shape[:2]) <= side:
        return image
    smaller = Image.fromarray(image)
    smaller.thumbnail((side, side))
    return np.asarray(smaller)


@cache
def load_font() -> Any:
    """Load Pillow's default font, which has the letters of ASCII alone."""
    return ImageFont.load_default(size=11)


@cache
def load_wide_font() -> Any:
    """Load DejaVu Sans, which has most alphabets, from Matplotlib; Pillow's default font where that is missing."""
    found = find_spec("matplotlib")
    for folder in (found and found.submodule_search_locations) or ():
        with suppress(OSError):
            return ImageFont.truetype(f"{folder}/mpl-data/fonts/ttf/DejaVuSans.ttf", 10)
    return load_font()


def encode_png(picture: Picture, *, software: str = "") -> bytes:
    """Encode an image as PNG, which may name the program that made it."""
    texts = PngInfo()
    if software:
        texts.add_text("Software", software)
    Image.fromarray(picture).save(buffer := BytesIO(), "PNG", compress_level=1, pnginfo=texts)
    return buffer.getvalue()


def encode_jpeg(picture: Picture) -> bytes:
    """Encode a photograph as JPEG, in a fifth of PNG's time; its pixels change slightly."""
    Image.fromarray(picture).save(buffer := BytesIO(), "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def image_summary(tag: str, picture: Picture, *, photo: bool = False) -> "Summary":
    """Make a TensorBoard image summary of a picture, uint8 [height, width, 3]: as JPEG for a photo, else as PNG."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # pages without summaries draw sheets too

    height, width, _ = picture.shape
    content = encode_jpeg(picture) if photo else encode_png(picture)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    return Summary(value=[Summary.Value(tag=tag, image=image)])
