"""Define the style of all plots: color-blind-safe colors, each with its own marker, and plain axes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from copycat.inspection.reports.figures import NotebookFigure
from copycat.sweeps.plots.results import Results

# of Okabe and Ito, https://jfly.uni-koeln.de/color/
BLUE, VERMILION, GRAY, BLACK = "#0072B2", "#D55E00", "#8C8C8C", "#000000"
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "text.parse_math": False,  # a value may hold a $
}
MAX_LETTERS = 24
"""Maximum length of a label in letters."""


def shorten(text: str, longest: int = MAX_LETTERS) -> str:
    """Shorten a label by replacing its middle with an ellipsis."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"


def make_figure(results: Results, kind: str, *, size: tuple[float, float]) -> Figure:
    """Make a figure whose title names the sweep and counts its trials by status."""
    figure = NotebookFigure(figsize=size, dpi=120, layout="constrained")
    states = [trial.status for trial in results.trials]
    counts = [f"{states.count(status)} {status}" for status in dict.fromkeys(sorted(states))]
    trials = f"{len(states)} trial{'s' if len(states) != 1 else ''}"
    title = f"{shorten(results.name, 40)}: {kind}\n{trials}" + (f": {', '.join(counts)}" if counts else "")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def make_message_figure(results: Results, kind: str, why: str) -> Figure:
    """Make a figure with a message in place of a plot that would mislead."""
    figure = make_figure(results, kind, size=(7, 2.5))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", wrap=True)
    return figure


def add_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """Add one legend below all panels, with each label once."""
    handles_by_label: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        handles_by_label |= {
            label: handle for handle, label in zip(handles, labels, strict=True) if label not in handles_by_label
        }
    figure.legend([*handles_by_label.values()], [*handles_by_label], loc="outside lower center", ncols=5)


def marker_area(count: int) -> float:
    """Return the area of a marker in points², smaller for more trials."""
    return float(np.clip(4000 / max(count, 1), 10, 36))
