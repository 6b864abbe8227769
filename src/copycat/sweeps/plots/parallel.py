"""Plot parallel coordinates: one line per completed trial, through its hyper-parameters to its objectives."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from copycat.inspection.reports.figures import shorten
from copycat.sweeps.plots import style
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results

MISSING_MARGIN = 0.2
"""Margin below the axes for trials without a value, as a fraction of the axes."""
MISSING_POSITION = 0.25
"""Position of these trials in that margin, as a fraction of it."""
MAX_LETTERS = 16
"""Maximum length of a label in letters."""


def plot_parallel(results: Results) -> Figure:
    """Plot completed trials as lines, the darker the better their first objective; the best one stands out.

    Seeds and folds have no axis: they repeat a configuration, and would spread its lines.
    """
    trials = results.get_scored_trials("completed")
    if not trials:
        return style.make_message_figure(results, "parallel coordinates", "No trial is completed yet.")
    keys = results.get_key_columns(trials)
    if not keys:
        return style.make_message_figure(results, "parallel coordinates", "No hyper-parameter varies.")
    columns = [*keys, *(results.get_objective_column(name, trials) for name in results.objectives)]
    below = MISSING_MARGIN if any(None in column.places for column in columns) else style.MARGIN
    width, height = 1.5 + 1.6 * len(columns), max(4.5, 2 + 0.17 * max(len(column.labels) for column in columns))
    figure = style.make_figure(results, "parallel coordinates of completed trials", size=(width, height))
    host = figure.add_subplot()
    host.set(xlim=(-0.7, len(columns) - 0.8), ylim=(0, 1))
    heights = [_draw(host, place, column, below) for place, column in enumerate(columns)]
    _draw_lines(host, np.column_stack(heights), results)
    host.set_xticks(range(len(columns)), [shorten(column.name) for column in columns], rotation=20, ha="right")
    host.set_yticks([])
    host.grid(visible=False)
    host.spines[["left", "bottom"]].set_visible(False)
    style.add_legend(figure, [host])
    return figure


def _draw(host: Axes, place: int, column: Column, below: float) -> Sequence[float]:
    """Draw one axis, and return the height of each trial on it, from 0 to 1."""
    axes = host.twinx()
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_position(("data", place))
    axes.yaxis.set_ticks_position("left")
    axes.grid(visible=False)
    style.set_column(axes, "y", column, longest=MAX_LETTERS, below=below)
    low, high = column.to_scale(axes.get_ylim())
    if None in column.places:
        host.text(
            place - 0.04, MISSING_POSITION * below, "not set", ha="right", va="center", bbox=LABEL_BACKGROUND, zorder=3
        )
    for label in axes.get_yticklabels():
        label.set_bbox(LABEL_BACKGROUND)
    heights = {at: float((column.to_scale([at])[0] - low) / (high - low)) for at in column.present}
    return [MISSING_POSITION * below if at is None else heights[at] for at in column.places]


LABEL_BACKGROUND: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
"""Background of a label, so that lines do not cross it."""


def _draw_lines(host: Axes, heights: np.ndarray[Any, Any], results: Results) -> None:
    objective = next(iter(results.objectives))
    trials, best = results.get_scored_trials("completed"), results.get_best_trial(objective)
    sign = 1 if results.objectives[objective] == "minimize" else -1
    losses = [sign * trial.objectives[objective] for trial in trials]
    order = np.argsort(np.negative(losses), kind="stable")  # the best are drawn last, on top
    places = np.arange(heights.shape[1])
    paths = [np.column_stack([places, heights[index]]) for index in order]
    colors = mpl.colormaps["cividis"](np.linspace(0.9, 0.0, len(paths)))
    host.add_collection(
        LineCollection(paths, colors=colors, lw=1.0, alpha=float(np.clip(60 / len(paths), 0.2, 0.8)), zorder=1)
    )
    if best:
        line = heights[trials.index(best)]
        host.plot(places, line, color=style.VERMILION, lw=2.5, zorder=2, label=f"best {objective}: trial {best.number}")
    if len(paths) > 1:
        host.plot([], [], color=colors[-1], label="better")
        host.plot([], [], color=colors[0], label="worse")
