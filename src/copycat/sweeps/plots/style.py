"""Define the style of all plots: color-blind-safe colors, each with its own marker, plain axes, few round ticks."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, ScalarFormatter

from copycat.inspection.reports.figures import MAX_LETTERS, NotebookFigure, shorten
from copycat.sweeps.plots.columns import Column
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
TICKS = 5
MARGIN = 0.08
"""Margin at the end of an axis, as a fraction of its length."""
OUTLIER_RANGES = 3.0
"""Interquartile ranges above the third quartile beyond which a value is an outlier, outside the axis."""
MIN_FOR_QUARTILES = 8
"""Minimum number of trials for quartiles to mean anything."""


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


def set_objective(axes: Axes, results: Results, objective: str, places: Mapping[int, float]) -> None:
    """Set scale, limits and label of the y axis, and mark outliers at its edge.

    `places` has the x position of each drawn trial, by its number.
    """
    trials = results.get_scored_trials()
    column = results.get_objective_column(objective, trials)
    less = results.objectives[objective] == "minimize"
    costs = column.to_scale(column.present) * (1 if less else -1)
    first, third = np.quantile(costs, [0.25, 0.75])
    worst = third + OUTLIER_RANGES * (third - first) if len(costs) >= MIN_FOR_QUARTILES and first < third else np.inf
    inliers = [trial for trial, cost in zip(trials, costs, strict=True) if cost <= worst]
    set_column(axes, "y", results.get_objective_column(objective, inliers))
    axes.set_ylabel(results.get_objective_label(objective))
    outliers = [t.number for t, cost in zip(trials, costs, strict=True) if cost > worst and t.number in places]
    if outliers:
        edge, mark = (1.0, CARETUPBASE) if less else (0.0, CARETDOWNBASE)
        style: dict[str, Any] = {"marker": mark, "color": GRAY, "clip_on": False, "label": "far worse, off the axis"}
        axes.scatter(
            [places[n] for n in outliers], [edge] * len(outliers), transform=axes.get_xaxis_transform(), **style
        )


def set_column(
    axes: Axes, which: Literal["x", "y"], column: Column, *, longest: int = MAX_LETTERS, below: float = MARGIN
) -> None:
    """Set scale, limits, ticks and tick labels of an axis, for the values of a column.

    `longest` is the maximum length of a label in letters, `below` the margin at the lower end, as MARGIN.
    """
    axis: Axis = getattr(axes, f"{which}axis")
    if column.scale == "category":
        axis.set_ticks(range(len(column.labels)), [shorten(label, longest) for label in column.labels])
    elif column.scale == "log":
        getattr(axes, f"set_{which}scale")("log")
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(
            FixedLocator(_exact_ticks(column) or choose_log_ticks(min(column.present), max(column.present)))
        )
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif ticks := _exact_ticks(column):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        is_integer = all(value == round(value) for value in column.present)
        count = TICKS if which == "x" else TICKS + 2  # labels on a y axis need less room
        axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10], integer=is_integer))
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_powerlimits((-4, 6))
        axis.set_major_formatter(formatter)
    low, high = column.limits
    getattr(axes, f"set_{which}lim")(
        *column.from_scale(np.array([low - below * (high - low), high + MARGIN * (high - low)]))
    )


def _exact_ticks(column: Column) -> list[float]:
    """Return the values as ticks if they are few, short and far enough apart; otherwise none."""
    ticks = sorted({*column.present})
    crowded = np.diff(column.to_scale(ticks)) < (column.limits[1] - column.limits[0]) / 12
    is_short = all(float(f"{tick:g}") == tick for tick in ticks)
    return ticks if len(ticks) <= TICKS and is_short and not crowded.any() else []


def choose_log_ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers from low to high: powers of ten, and multiples of them if fewer than three."""
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if last - first >= 2:
        return [10.0**power for power in range(first, last + 1, -(-(last - first) // (TICKS - 1)))]
    for factors in ((1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in range(first - 1, last + 2) for factor in factors]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) >= 3:
            return inside
    return inside if len(inside) == 2 else [low] if low == high else [low, high]
