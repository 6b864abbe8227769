"""Set scales, limits and ticks of axes, and mark outliers."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, ScalarFormatter

from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import GRAY, MAX_LETTERS, shorten

AxisName = Literal["x", "y"]
TICKS = 5
MARGIN = 0.08
"""Margin at the end of an axis, as a fraction of its length."""
OUTLIER_RANGES = 3.0
"""Interquartile ranges above the third quartile beyond which a value is an outlier, outside the axis."""
MIN_FOR_QUARTILES = 8
"""Minimum number of trials for quartiles to mean anything."""


def make_objective_label(results: Results, objective: str) -> str:
    """Return the label of an objective's axis, with its direction."""
    better = "less" if results.objectives[objective] == "minimize" else "more"
    return f"{objective} ({better} is better)"


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
    axes.set_ylabel(make_objective_label(results, objective))
    outliers = [t.number for t, cost in zip(trials, costs, strict=True) if cost > worst and t.number in places]
    if outliers:
        edge, mark = (1.0, CARETUPBASE) if less else (0.0, CARETDOWNBASE)
        style: dict[str, Any] = {"marker": mark, "color": GRAY, "clip_on": False, "label": "far worse, off the axis"}
        axes.scatter(
            [places[n] for n in outliers], [edge] * len(outliers), transform=axes.get_xaxis_transform(), **style
        )


def set_column(
    axes: Axes, which: AxisName, column: Column, *, longest: int = MAX_LETTERS, below: float = MARGIN
) -> None:
    """Set scale, limits, ticks and tick labels of an axis.

    Args:
        axes: to change.
        which: of them.
        column: the values on the axis.
        longest: maximum length of a label in letters.
        below: margin at the lower end, as a fraction of the axis.
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
