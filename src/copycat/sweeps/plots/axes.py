"""Axes and what is marked on them: scales, limits, ticks, the best trial, those that failed, those far off."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, ScalarFormatter

from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import BLACK, GREY, LONGEST, VERMILION, short

Which = Literal["x", "y"]
TICKS = 5
PAD = 0.08
"""Room at an axis's end, as a share of it."""
FAR = 3.0
"""Interquartile ranges beyond the third quartile from which a value is off the axis: few of a usual spread are."""
MANY = 8
"""Trials, at least, for quartiles to mean anything."""


def objective_label(results: Results, objective: str) -> str:
    better = "less" if results.objectives[objective] == "minimize" else "more"
    return f"{objective} ({better} is better)"


def set_objective(axes: Axes, results: Results, objective: str, places: Mapping[int, float]) -> None:
    """Scale, limits and label of the upward axis; trials far worse than most are pointed at from its edge.

    Args:
        places: along the other axis, by the trial's number, of those that are drawn.
    """
    trials = results.valued()
    column = results.column(objective, trials)
    less = results.objectives[objective] == "minimize"
    costs = column.forth(column.present) * (1 if less else -1)
    first, third = np.quantile(costs, [0.25, 0.75])
    worst = third + FAR * (third - first) if len(costs) >= MANY and first < third else np.inf
    near = [trial for trial, cost in zip(trials, costs, strict=True) if cost <= worst]
    set_column(axes, "y", results.column(objective, near))
    axes.set_ylabel(objective_label(results, objective))
    far = [t.number for t, cost in zip(trials, costs, strict=True) if cost > worst and t.number in places]
    if far:
        edge, mark = (1.0, CARETUPBASE) if less else (0.0, CARETDOWNBASE)
        look: dict[str, Any] = {"marker": mark, "color": GREY, "clip_on": False, "label": "far worse, off the axis"}
        axes.scatter([places[n] for n in far], [edge] * len(far), transform=axes.get_xaxis_transform(), **look)


def mark_best(axes: Axes, across: Sequence[float], up: Sequence[float], size: float) -> None:
    axes.scatter(across, up, s=4 * size, marker="*", color=VERMILION, zorder=4, label="best")


def mark_failed(axes: Axes, places: Sequence[float], size: float) -> None:
    """At the lower edge: they have no value."""
    if places:
        along = axes.get_xaxis_transform()
        look: dict[str, Any] = {"s": size, "marker": "x", "color": BLACK, "clip_on": False, "zorder": 4}
        axes.scatter(places, [0.0] * len(places), transform=along, label="failed (no value)", **look)


def set_column(axes: Axes, which: Which, column: Column, *, longest: int = LONGEST, below: float = PAD) -> None:
    """Scale, limits, ticks and their labels.

    Args:
        below: room at the lower end, as a share of the axis.
    """
    axis: Axis = getattr(axes, f"{which}axis")
    if column.scale == "category":
        axis.set_ticks(range(len(column.labels)), [short(label, longest) for label in column.labels])
    elif column.scale == "log":
        getattr(axes, f"set_{which}scale")("log")
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(FixedLocator(_few(column) or log_ticks(min(column.present), max(column.present))))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif ticks := _few(column):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        whole = all(value == round(value) for value in column.present)
        count = TICKS if which == "x" else TICKS + 2  # labels above each other take less room
        axis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10], integer=whole))
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_powerlimits((-4, 6))
        axis.set_major_formatter(formatter)
    low, high = column.ends
    getattr(axes, f"set_{which}lim")(*column.back(np.array([low - below * (high - low), high + PAD * (high - low)])))


def _few(column: Column) -> list[float]:
    """The values themselves where they are few, short, and not too near to each other to be labelled."""
    ticks = sorted({*column.present})
    near = np.diff(column.forth(ticks)) < (column.ends[1] - column.ends[0]) / 12
    is_short = all(float(f"{tick:g}") == tick for tick in ticks)
    return ticks if len(ticks) <= TICKS and is_short and not near.any() else []


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, a few: powers of ten, or where there are less than three those between too."""
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if last - first >= 2:
        return [10.0**power for power in range(first, last + 1, -(-(last - first) // (TICKS - 1)))]
    for factors in ((1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in range(first - 1, last + 2) for factor in factors]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) >= 3:
            return inside
    return inside if len(inside) == 2 else [low] if low == high else [low, high]
