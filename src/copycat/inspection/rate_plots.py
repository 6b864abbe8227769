"""Draw the learning rate over a run, and the loss over the learning rate."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from copycat.inspection.reports.figures import COLORS, NotebookFigure

if TYPE_CHECKING:
    from copycat.inspection.schedule import Schedule
    from copycat.training.range_test import RangeTest


def draw_schedule(schedule: "Schedule") -> Figure:
    """Draw the learning rate by epoch, above the momentum where the schedule changes it."""
    is_cycled = schedule.momenta[0] is not None
    figure = NotebookFigure(figsize=(7, 4.5 if is_cycled else 3), dpi=120, layout="constrained")
    panels = figure.subplots(2 if is_cycled else 1, 1, sharex=True, squeeze=False)[:, 0]
    epochs = np.arange(len(schedule.rates) + 1) / schedule.per_epoch
    series = [("learning rate", schedule.rates), ("momentum, or first beta", schedule.momenta)]
    for axes, (label, values), color in zip(panels, series, COLORS, strict=False):
        axes.stairs(np.array(values, dtype=float), epochs, baseline=None, color=color, linewidth=1.5)
        axes.set_ylabel(label)
        axes.margins(x=0.01)
    panels[0].set_ylim(bottom=0)
    panels[-1].set_xlabel("epoch")
    name, interval = str(schedule.node["_target_"]).rpartition(".")[2], schedule.node.get("interval", "epoch")
    panels[0].set_title(f"{name}, one value per {interval}", loc="left", fontsize=10)
    return figure


def draw_range_test(found: "RangeTest") -> Figure:
    """Draw the losses by learning rate, and a line at the suggestion."""
    figure = NotebookFigure(figsize=(7, 3.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.semilogx(found.rates, found.losses, ".", color=COLORS[4], markersize=4, label="loss of a step")
    axes.semilogx(found.rates, found.smoothed, "-", color=COLORS[0], linewidth=1.5, label="smoothed")
    if (rate := found.suggestion) is not None:
        axes.axvline(rate, color=COLORS[1], linestyle="--", label=f"steepest descent, {rate:.2g}")
    axes.set_ylim(min(found.losses) - 0.1 * (found.ceiling - min(found.losses)), found.ceiling)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend(loc="upper left")
    return figure
