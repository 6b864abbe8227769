"""Plot the objectives against each key."""

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from copycat.records.trial_file import Trial
from copycat.sweeps.plots.axes import mark_best, mark_failed, set_column, set_objective
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import BLUE, GRAY, add_legend, make_figure, make_message_figure, marker_area, shorten

MAX_PER_ROW = 3
"""Maximum number of panels in a row."""
MAX_LABEL_LETTERS = 26
"""Letters of horizontal tick labels that fit one panel."""
JITTER = 0.4
"""Width over which the trials of one category are spread if they are many, so that all are visible."""


def plot_slices(results: Results) -> Figure:
    """Plot each objective over each key; seeds and folds too, since they show the spread by chance."""
    keys = results.get_key_columns(results.trials, repeats=True)
    if not results.get_scored_trials() or not keys:
        return make_message_figure(results, "slice", "No trial has a value yet.")
    across = min(MAX_PER_ROW, len(keys))
    down = ceil(len(keys) / across)
    count = len(results.objectives)
    figure = make_figure(results, "slice", size=(1 + 3.6 * across, 1.2 + 3 * down * count))
    panels = figure.subplots(down * count, across, squeeze=False)
    cells = panels.reshape(count, down * across)
    for line, objective in zip(cells, results.objectives, strict=True):
        for axes, key in zip(line, keys, strict=False):
            _draw(axes, results, objective, key)
        for axes in line[len(keys) :]:
            axes.set_axis_off()
    add_legend(figure, panels.flat)
    return figure


def _draw(axes: Axes, results: Results, objective: str, key: Column) -> None:
    place = {
        trial.number: at + (_jitter(trial.number, len(results.trials)) if key.scale == "category" else 0.0)
        for trial, at in zip(results.trials, key.places, strict=True)
        if at is not None
    }
    size = marker_area(len(results.trials))
    best = results.get_best_trial(objective)

    def points(trials: list[Trial]) -> tuple[list[float], list[float]]:
        shown = [trial for trial in trials if trial.number in place]
        return [place[trial.number] for trial in shown], [trial.objectives[objective] for trial in shown]

    axes.scatter(
        *points(results.get_scored_trials("completed")), s=size, color=BLUE, alpha=0.6, lw=0, label="completed"
    )
    if pruned := results.get_scored_trials("pruned"):
        axes.scatter(*points(pruned), s=size, marker="v", facecolors="none", edgecolors=GRAY, label="pruned")
    if best and best.number in place:
        mark_best(axes, *points([best]), size)
    failed = [trial.number for trial in results.trials if trial.status == "failed" and trial.number in place]
    mark_failed(axes, [place[number] for number in failed], size)
    set_objective(axes, results, objective, place)
    set_column(axes, "x", key)
    if max(map(_label_width, key.labels), default=0) * len(key.labels) > MAX_LABEL_LETTERS:
        upright = len(key.labels) > 8
        for label in axes.get_xticklabels():
            label.set(
                rotation=90 if upright else 25, ha="right", va="center" if upright else "top", rotation_mode="anchor"
            )
    absent = sum(at is None for at in key.places)
    axes.set_xlabel(shorten(key.name, 36) + (f"\n(not set in {absent} of {len(key.places)} trials)" if absent else ""))


def _label_width(label: str) -> int:
    """Return the width of a label in letters; East Asian letters and boxes for missing ones count twice."""
    return sum(1 if letter < "\u1100" else 2 for letter in shorten(label))


def _jitter(number: int, count: int) -> float:
    """Return a horizontal offset that is evenly spread and depends on the trial's number alone."""
    return JITTER * min(1.0, count / 40) * (number * 0.618034 % 1 - 0.5)
