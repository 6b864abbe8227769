"""How the plots of runs look, and how one becomes a PNG."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from threading import RLock

import matplotlib.style
from matplotlib.figure import Figure

# of Okabe and Ito, https://jfly.uni-koeln.de/color/: told apart by the colour-blind
SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES: Mapping[str, Mapping[str, str]] = {
    "train": {"color": SHADES[0], "linestyle": "-"},
    "val": {"color": SHADES[1], "linestyle": "--"},
    "test": {"color": SHADES[-1], "linestyle": ":"},
}
STYLE = {"axes.grid": True, "grid.color": "#E6E6E6", "axes.axisbelow": True, "font.size": 9, "text.parse_math": False}


_one_at_a_time = RLock()
"""Styles and filters of warnings are the process's, and threads write the records of a pack."""


class Png:
    """A figure, drawn: the same bytes for the same numbers."""

    bytes = b""

    def take(self, figure: Figure) -> None:
        figure.savefig(found := BytesIO(), metadata={"Software": None})
        self.bytes = found.getvalue()


@contextmanager
def drawn() -> Iterator[Png]:
    """Where figures are made in the house's style."""
    with _one_at_a_time, matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn for it
        yield Png()
