"""The style of plots, and how a plot becomes a PNG, or an image in a notebook."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from threading import RLock
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# the palette of Okabe and Ito, https://jfly.uni-koeln.de/color/, distinguishable by the color-blind
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES: Mapping[str, Mapping[str, str]] = {
    "train": {"color": COLORS[0], "linestyle": "-"},
    "val": {"color": COLORS[1], "linestyle": "--"},
    "test": {"color": COLORS[-1], "linestyle": ":"},
}
STYLE = {"axes.grid": True, "grid.color": "#E6E6E6", "axes.axisbelow": True, "font.size": 9, "text.parse_math": False}

MAX_LETTERS = 24
"""Maximum length of a label in letters."""
PALETTE = 128
"""Colors of a PNG, at most."""
_style_lock = RLock()
"""Matplotlib's style and the warning filters belong to the process, and a pack writes its records in threads."""


def encode_figure(figure: Figure) -> bytes:
    """Draw a figure as a PNG of few colors, which has a third of the bytes of one with all; equal for equal numbers."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(pixels).convert("RGB").quantize(PALETTE)
    image.save(buffer := BytesIO(), "PNG", optimize=True)
    return buffer.getvalue()


def shorten(text: str, longest: int = MAX_LETTERS) -> str:
    """Shorten a label by replacing its middle with an ellipsis."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"


class NotebookFigure(Figure):
    """Show itself in a notebook, without pyplot, which would keep every figure open."""

    def _repr_png_(self) -> bytes:
        return encode_figure(self)


@contextmanager
def plot_style(style: Mapping[str, Any] = STYLE) -> Iterator[None]:
    """Apply a style while figures are made and rendered."""
    with _style_lock, matplotlib.style.context(["default", dict(style)]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn instead
        yield
