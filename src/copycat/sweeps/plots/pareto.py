"""Plot several objectives against each other, with the Pareto front."""

from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from copycat.records.trial_file import Trial
from copycat.sweeps import summary
from copycat.sweeps.plots.axes import make_objective_label, set_column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import (
    BLUE,
    VERMILION,
    add_legend,
    make_figure,
    make_message_figure,
    marker_area,
    shorten,
)


def find_pareto_front(results: Results) -> list[Trial]:
    """Return the trials on the Pareto front, which no other trial dominates."""
    trials = results.get_feasible_trials()
    best = summary.find_pareto_front(
        ({"trial": trial.number, "status": trial.status, **trial.objectives} for trial in trials), results.objectives
    )
    return [trial for trial in trials if trial.number in best]


def plot_pareto(results: Results) -> Figure:
    """Plot each pair of objectives, one panel per pair."""
    if not results.get_scored_trials("completed"):
        return make_message_figure(results, "Pareto front", "No trial is completed yet.")
    pairs = list(combinations(results.objectives, 2))
    figure = make_figure(results, "Pareto front", size=(7, 1 + 4 * len(pairs)))
    panels = figure.subplots(len(pairs), 1, squeeze=False)[:, 0]
    for axes, (across, up) in zip(panels, pairs, strict=True):
        _draw(axes, results, across, up)
    add_legend(figure, panels)
    return figure


def _draw(axes: Axes, results: Results, across: str, up: str) -> None:
    trials, best = results.get_scored_trials("completed"), find_pareto_front(results)
    size = marker_area(len(trials))
    numbers = f"trial{'s' if len(best) > 1 else ''} {', '.join(str(trial.number) for trial in best) or 'none'}"

    def points(shown: list[Trial]) -> tuple[list[float], list[float]]:
        return [trial.objectives[across] for trial in shown], [trial.objectives[up] for trial in shown]

    axes.scatter(*points(trials), s=size, color=BLUE, alpha=0.6, lw=0, label="completed")
    axes.scatter(
        *points(best), s=1.5 * size, marker="D", color=VERMILION, label=f"Pareto front: {shorten(numbers, 60)}"
    )
    if len(results.objectives) == 2:  # with more objectives the front is no line
        ordered = sorted(best, key=lambda trial: points([trial]))
        is_less_better = results.objectives[across] == "minimize"
        axes.step(*points(ordered), where="post" if is_less_better else "pre", color=VERMILION, lw=1)
    set_column(axes, "x", results.get_objective_column(across, trials))
    set_column(axes, "y", results.get_objective_column(up, trials))
    axes.set(xlabel=make_objective_label(results, across), ylabel=make_objective_label(results, up))
