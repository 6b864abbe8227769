"""Plot the objectives of the trials by number, by each key, and against each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from copycat.inspection.reports.figures import shorten
from copycat.records.trial_file import Trial
from copycat.sweeps.plots import style
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results

MAX_PER_ROW = 3
"""Maximum number of panels in a row."""
MAX_LABEL_LETTERS = 26
"""Letters of horizontal tick labels that fit one panel."""
JITTER = 0.4
"""Width over which the trials of one category are spread if they are many, so that all are visible."""


def plot_history(results: Results) -> Figure:
    """Plot each objective over the number of the trial, with the best value so far, one panel per objective."""
    if not results.get_scored_trials():
        return style.make_message_figure(results, "history", "No trial has a value yet.")
    count = len(results.objectives)
    figure = style.make_figure(results, "history", size=(8, 1.6 + 2.8 * count))
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    numbers = [trial.number for trial in results.trials]
    room = 0.5 + (numbers[-1] - numbers[0]) / 50
    for axes, objective in zip(panels, results.objectives, strict=True):
        _draw_trials(axes, results, objective, {number: number for number in numbers}, best_so_far=True)
        axes.set_xlim(numbers[0] - room, numbers[-1] + room)
    panels[-1].set_xlabel("trial")
    panels[-1].xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    style.add_legend(figure, panels)
    return figure


def plot_slices(results: Results) -> Figure:
    """Plot each objective over each key; seeds and folds too, since they show the spread by chance."""
    keys = results.get_key_columns(results.trials, repeats=True)
    if not results.get_scored_trials() or not keys:
        why = "No hyper-parameter varies." if results.get_scored_trials() else "No trial has a value yet."
        return style.make_message_figure(results, "slice", why)
    across = min(MAX_PER_ROW, len(keys))
    down = ceil(len(keys) / across)
    count = len(results.objectives)
    figure = style.make_figure(results, "slice", size=(1 + 3.6 * across, 1.2 + 3 * down * count))
    panels = figure.subplots(down * count, across, squeeze=False)
    for line, objective in zip(panels.reshape(count, down * across), results.objectives, strict=True):
        for axes, key in zip(line, keys, strict=False):
            _draw_slice(axes, results, objective, key)
        for axes in line[len(keys) :]:
            axes.set_axis_off()
    style.add_legend(figure, panels.flat)
    return figure


def plot_pareto(results: Results) -> Figure:
    """Plot each pair of objectives, one panel per pair, with the Pareto front."""
    if not results.get_scored_trials("completed"):
        return style.make_message_figure(results, "Pareto front", "No trial is completed yet.")
    pairs = list(combinations(results.objectives, 2))
    figure = style.make_figure(results, "Pareto front", size=(7, 1 + 4 * len(pairs)))
    panels = figure.subplots(len(pairs), 1, squeeze=False)[:, 0]
    for axes, (across, up) in zip(panels, pairs, strict=True):
        _draw_front(axes, results, across, up)
    style.add_legend(figure, panels)
    return figure


def _draw_trials(
    axes: Axes, results: Results, objective: str, places: Mapping[int, float], *, best_so_far: bool
) -> None:
    """Draw the trials that have a place on the x axis; places are by number."""
    size = style.marker_area(len(results.trials))

    def points(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
        shown = [trial for trial in trials if trial.number in places]
        return [places[trial.number] for trial in shown], [trial.objectives[objective] for trial in shown]

    order: dict[str, Any] = {"zorder": 3} if best_so_far else {}  # above the line of the best so far
    filled = order or {"alpha": 0.6, "lw": 0}
    axes.scatter(*points(results.get_scored_trials("completed")), s=size, color=style.BLUE, label="completed", **filled)
    if pruned := results.get_scored_trials("pruned"):
        hollow = {"facecolors": "none", "edgecolors": style.GRAY, **order}
        axes.scatter(*points(pruned), s=size, marker="v", label="pruned", **hollow)
    if best_so_far and results.get_feasible_trials():
        steps = results.get_best_so_far(objective)
        axes.step(*steps, where="post", color=style.VERMILION, label="best so far", zorder=2)
    best = results.get_best_trial(objective)
    if best and best.number in places:
        axes.scatter(*points([best]), s=4 * size, marker="*", color=style.VERMILION, zorder=4, label="best")
    failed = [places[t.number] for t in results.trials if t.status == "failed" and t.number in places]
    if failed:  # at the lower edge, since they have no value
        bottom, along = [0.0] * len(failed), axes.get_xaxis_transform()
        crosses = axes.scatter(failed, bottom, s=size, marker="x", color=style.BLACK, transform=along, clip_on=False)
        crosses.set(label="failed (no value)", zorder=4)
    style.set_objective(axes, results, objective, places)


def _draw_slice(axes: Axes, results: Results, objective: str, key: Column) -> None:
    places = {
        trial.number: at + (_jitter(trial.number, len(results.trials)) if key.scale == "category" else 0.0)
        for trial, at in zip(results.trials, key.places, strict=True)
        if at is not None
    }
    _draw_trials(axes, results, objective, places, best_so_far=False)
    style.set_column(axes, "x", key)
    if max(map(_label_width, key.labels), default=0) * len(key.labels) > MAX_LABEL_LETTERS:
        upright = len(key.labels) > 8
        for label in axes.get_xticklabels():
            label.set(
                rotation=90 if upright else 25, ha="right", va="center" if upright else "top", rotation_mode="anchor"
            )
    absent = sum(at is None for at in key.places)
    note = f"\n(not set in {absent} of {len(key.places)} trials)" if absent else ""
    axes.set_xlabel(shorten(key.name, 36) + note)


def _draw_front(axes: Axes, results: Results, across: str, up: str) -> None:
    trials, best = results.get_scored_trials("completed"), results.get_pareto_front()
    size = style.marker_area(len(trials))
    numbers = f"trial{'s' if len(best) > 1 else ''} {', '.join(str(trial.number) for trial in best) or 'none'}"

    def points(shown: Sequence[Trial]) -> tuple[list[float], list[float]]:
        return [trial.objectives[across] for trial in shown], [trial.objectives[up] for trial in shown]

    axes.scatter(*points(trials), s=size, color=style.BLUE, alpha=0.6, lw=0, label="completed")
    label = f"Pareto front: {shorten(numbers, 60)}"
    axes.scatter(*points(best), s=1.5 * size, marker="D", color=style.VERMILION, label=label)
    if len(results.objectives) == 2:  # with more objectives the front is no line
        ordered = sorted(best, key=lambda trial: points([trial]))
        is_less_better = results.objectives[across] == "minimize"
        axes.step(*points(ordered), where="post" if is_less_better else "pre", color=style.VERMILION, lw=1)
    style.set_column(axes, "x", results.get_objective_column(across, trials))
    style.set_column(axes, "y", results.get_objective_column(up, trials))
    axes.set(xlabel=results.get_objective_label(across), ylabel=results.get_objective_label(up))


def _label_width(label: str) -> int:
    """Return the width of a label in letters; East Asian letters and boxes for missing ones count twice."""
    return sum(1 if letter < "\u1100" else 2 for letter in shorten(label))


def _jitter(number: int, count: int) -> float:
    """Return a horizontal offset that is evenly spread and depends on the trial's number alone."""
    return JITTER * min(1.0, count / 40) * (number * 0.618034 % 1 - 0.5)
