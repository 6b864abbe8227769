"""Interactive charts of a sweep's page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from copycat.inspection.reports.contents import BEHIND, FIRST, Axis, Chart, Parallel, ParallelAxis, Series, SeriesStyle
from copycat.records.trial_file import Trial
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.importance import Importance
from copycat.sweeps.plots.results import Results
from copycat.sweeps.search.objectives import rank_key

BEST = SeriesStyle(2, 0)


def make_history_charts(results: Results) -> list[Chart]:
    """Make a chart for each objective: its value by the number of the trial, and the best so far."""
    charts = []
    for name in results.objectives:
        series = [*_scatter(results, {trial.number: trial.number for trial in results.trials}, name)]
        if results.get_feasible_trials():
            x, y = results.get_best_so_far(name)
            series.append(Series(label="best so far", x=x, y=y, draw="step", style=BEST))
        charts.append(_chart(f"{name} by trial", results, name, Axis(label="trial"), series))
    return [chart for chart in charts if chart.series]


def make_slice_charts(results: Results) -> list[Chart]:
    """Make a chart for each key and objective; seeds and folds have one too, since they show the spread by chance."""
    charts = []
    for objective in results.objectives:
        for key in results.get_key_columns(results.trials, repeats=True):
            places = {trial.number: place for trial, place in zip(results.trials, key.places, strict=True)}
            series = [*_scatter(results, places, objective)]
            axis = Axis(label=key.name, log=key.scale == "log", labels=key.labels)
            charts.append(_chart(f"{objective} by {key.name}", results, objective, axis, series))
    return [chart for chart in charts if chart.series]


def make_pareto_charts(results: Results) -> list[Chart]:
    """Make a chart for each pair of objectives, with the Pareto front."""
    trials, front = results.get_scored_trials("completed"), results.get_pareto_front()
    charts = []
    for across, up in combinations(results.objectives, 2):
        groups = {"completed": (trials, FIRST, 8), "Pareto front": (front, BEST, 11)}
        series = [
            _points(label, some, [t.objectives[across] for t in some], up, style, size=size)
            for label, (some, style, size) in groups.items()
        ]
        axis = Axis(label=results.get_objective_label(across))
        charts.append(_chart(f"{up} by {across}", results, up, axis, [one for one in series if one.y]))
    return [chart for chart in charts if chart.series]


def make_importance_charts(found: Sequence[Importance]) -> list[Chart]:
    """Make a chart for each objective: the importance of each key, in descending order."""
    charts = []
    for one in found:
        keys = [*one.shares][::-1]
        series = [
            Series(
                label=label,
                y=[one.shares[key] if (key in one.above_chance) == is_above else None for key in keys],
                draw="bars",
                style=style,
            )
            for label, is_above, style in (("above chance", True, FIRST), ("not above chance", False, BEHIND))
        ]
        charts.append(
            Chart(
                title=f"{one.objective}: {one.label}",
                x_axis=Axis(label="hyper-parameter", labels=keys),
                y_axis=Axis(label="share", range=(0.0, 1.05)),
                x=[*range(len(keys))],
                series=[each for each in series if any(value is not None for value in each.y)],
            )
        )
    return charts


def make_parallel(results: Results) -> Parallel | None:
    """Make the parallel coordinates of completed trials, the best first; None where there are no lines to draw.

    Seeds and folds have no axis: they repeat a configuration, and would spread its lines.
    """
    trials = results.get_scored_trials("completed")
    keys = results.get_key_columns(trials)
    if not trials or not keys:
        return None
    order = sorted(range(len(trials)), key=lambda at: rank_key(trials[at], results.objectives))
    columns = [*keys, *(results.get_objective_column(one, trials) for one in results.objectives)]
    names = [f"trial {trials[at].number}" for at in order]
    return Parallel(names=names, axes=[_parallel_axis(one.select(order)) for one in columns])


def _parallel_axis(column: Column) -> ParallelAxis:
    low, high = column.limits
    margin = 0 if column.scale == "category" else 0.04 * (high - low)
    limits = low - margin, high + margin
    return ParallelAxis(
        label=column.name, values=column.places, scale=column.scale, limits=limits, labels=column.labels
    )


def _scatter(results: Results, places: Mapping[int, float | None], objective: str) -> Iterator[Series]:
    """Yield the completed trials, the pruned ones, and the best, where there are any; places are by number."""
    best = results.get_best_trial(objective)
    groups = {
        "completed": (results.get_scored_trials("completed"), FIRST, 8),
        "pruned": (results.get_scored_trials("pruned"), SeriesStyle(6, 0), 7),
        "best": ([best] if best else [], BEST, 13),
    }
    for label, (trials, style, size) in groups.items():
        pairs = [(trial, at) for trial in trials if (at := places[trial.number]) is not None]
        if pairs:
            shown, x = [trial for trial, _ in pairs], [at for _, at in pairs]
            yield _points(label, shown, x, objective, style, size=size, hollow=label == "pruned")


def _points(
    label: str, trials: Sequence[Trial], x: Sequence[float], objective: str, style: SeriesStyle, **more: int
) -> Series:
    y, names = [trial.objectives[objective] for trial in trials], [f"trial {trial.number}" for trial in trials]
    return Series(label=label, x=x, y=y, names=names, draw="points", style=style, **more)  # type: ignore[arg-type]


def _chart(title: str, results: Results, objective: str, axis: Axis, series: Sequence[Series]) -> Chart:
    column = results.get_objective_column(objective, results.get_scored_trials())
    label = results.get_objective_label(objective)
    return Chart(title=title, x_axis=axis, y_axis=Axis(label=label, log=column.scale == "log"), series=series)
