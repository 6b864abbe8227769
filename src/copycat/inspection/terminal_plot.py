"""Draw a curve in the terminal, and write the picture of one."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 72
"""Maximum width of a curve, in characters."""


def sparkline(values: Sequence[float], *, from_zero: bool = True) -> str:
    """Return a curve as one line of bars, each the mean of its part; from 0 up, or from the smallest value."""
    count = min(WIDTH, len(values))
    cuts = [round(place * len(values) / count) for place in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    known = [mean for mean in means if isfinite(mean)]
    low, high = (0.0 if from_zero else min(known, default=0.0)), max(known, default=0.0)
    span = (high - low) or 1.0
    bars = (BARS[min(int((mean - low) / span * len(BARS)), len(BARS) - 1)] if isfinite(mean) else " " for mean in means)
    return "".join(bars)


def write_picture(path: Path, draw: Callable[[], "Figure"]) -> None:
    """Write a figure, drawn in the style of all plots, to a PNG file.

    Raises:
        UserError: where the file cannot be written.
    """
    from copycat.inspection.reports.figures import encode_figure, plot_style

    with plot_style():
        content = encode_figure(draw())
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"--to: expected a file to write to; got {path}: {error.strerror}.") from error
