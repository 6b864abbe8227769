"""Plot the objectives of the trials by number, and the best value so far."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from copycat.sweeps.plots.axes import mark_best, mark_failed, set_objective
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import BLUE, GRAY, VERMILION, add_legend, make_figure, make_message_figure, marker_area


def plot_history(results: Results) -> Figure:
    """Plot each objective over the number of the trial, one panel per objective."""
    if not results.get_scored_trials():
        return make_message_figure(results, "history", "No trial has a value yet.")
    count = len(results.objectives)
    figure = make_figure(results, "history", size=(8, 1.6 + 2.8 * count))
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for axes, objective in zip(panels, results.objectives, strict=True):
        _draw(axes, results, objective)
    panels[-1].set_xlabel("trial")
    panels[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    add_legend(figure, panels)
    return figure


def _draw(axes: Axes, results: Results, objective: str) -> None:
    size = marker_area(len(results.trials))
    done, pruned = results.get_scored_trials("completed"), results.get_scored_trials("pruned")
    values = [trial.objectives[objective] for trial in done]
    numbers = [trial.number for trial in done]
    axes.scatter(numbers, values, s=size, color=BLUE, label="completed", zorder=3)
    if pruned:
        where = [trial.number for trial in pruned], [trial.objectives[objective] for trial in pruned]
        axes.scatter(*where, s=size, marker="v", facecolors="none", edgecolors=GRAY, label="pruned", zorder=3)
    first, last = results.trials[0].number, results.trials[-1].number
    if ranked := results.get_feasible_trials():
        keep = np.minimum if results.objectives[objective] == "minimize" else np.maximum
        so_far = keep.accumulate([trial.objectives[objective] for trial in ranked])
        steps = [*(trial.number for trial in ranked), last]
        axes.step(steps, [*so_far, so_far[-1]], where="post", color=VERMILION, label="best so far", zorder=2)
    if best := results.get_best_trial(objective):
        mark_best(axes, [best.number], [best.objectives[objective]], size)
    mark_failed(axes, [trial.number for trial in results.trials if trial.status == "failed"], size)
    set_objective(axes, results, objective, {trial.number: trial.number for trial in results.trials})
    room = 0.5 + (last - first) / 50
    axes.set_xlim(first - room, last + room)
