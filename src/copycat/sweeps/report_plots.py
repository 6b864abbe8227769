"""Make the plots of a sweep's page: static images, and what replaces them where scripts run."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import PageImage, Section
from copycat.inspection.reports.curve_charts import make_compared_chart
from copycat.sweeps import charts
from copycat.sweeps.plots.files import render_figure, render_plot
from copycat.sweeps.plots.importance import draw_importance, measure_importance
from copycat.sweeps.plots.results import Results
from copycat.sweeps.search.objectives import read_curve
from copycat.tables.run_row import RunRow
from copycat.tables.statistics import format_number

BEST_CURVES, OTHER_CURVES = 10, 40
"""Maximum number of trials whose curves are drawn by name, and behind these."""
MAX_POINTS = 120
"""Points of a trial's curve, at most."""


def make_plot_sections(results: Results, rows: Sequence[RunRow]) -> Iterator[Section]:
    """Make the sections of a sweep's plots; `rows` are its trials by rank."""
    caption = "Each completed trial as a line through its values."
    parallel = PageImage(render_plot("parallel", results), caption, "parallel", parallel=charts.make_parallel(results))
    yield Section(title="Parallel coordinates", images=[parallel])
    yield from _curves(results, rows)
    yield _importance(results)
    caption = "Each objective against each hyper-parameter."
    slices = PageImage(render_plot("slice", results), caption, "slice", charts.make_slice_charts(results))
    yield Section(title="Hyper-parameters", images=[slices])
    yield Section(title="History", images=[_history(results)])
    if len(results.objectives) > 1:
        caption = "Objectives against each other, with the Pareto front."
        pareto = PageImage(render_plot("pareto", results), caption, "pareto", charts.make_pareto_charts(results))
        yield Section(title="Pareto front", images=[pareto])


def _importance(results: Results) -> Section:
    found = measure_importance(results)
    if isinstance(found, str):
        return Section(title="Importance", note=found)
    picture = render_figure(lambda: draw_importance(results, found))
    caption = "Hyper-parameter importance; above chance: larger than in 95 % of random permutations."
    return Section(
        title="Importance", images=[PageImage(picture, caption, "importance", charts.make_importance_charts(found))]
    )


def _history(results: Results) -> PageImage:
    best = {name: results.get_best_trial(name) for name in results.objectives}
    best_so_far = "; ".join(
        f"best {name} {format_number(trial.objectives[name])} by trial {trial.number}"
        for name, trial in best.items()
        if trial
    )
    caption = f"Each trial by its number, and the best value so far{f': {best_so_far}' if best_so_far else ''}."
    return PageImage(render_plot("history", results), caption, "history", charts.make_history_charts(results))


def _curves(results: Results, rows: Sequence[RunRow]) -> Iterator[Section]:
    """Draw the first objective of the best trials by epoch, before those of the others."""
    metric = next(iter(results.objectives))
    ranked = [(row, history) for row in rows if (history := read_curve(Path(row["folder"]), metric))]
    if not ranked:
        return
    from copycat.inspection.reports.curves import plot_compared_curves

    best = {f"trial {row['trial']}": history for row, history in ranked[:BEST_CURVES]}
    others = ranked[BEST_CURVES:]
    rest = [history for _, history in others[:: -(-len(others) // OTHER_CURVES) or 1]]
    caption = f"{metric} by epoch of the best {len(best)} of {pluralize(len(ranked), 'trial')}"
    if rest:
        caption += f", before {'the others' if len(rest) == len(others) else f'{len(rest)} of the others'}"
    chart = make_compared_chart(best, metric, rest=rest, max_points=MAX_POINTS)
    image = PageImage(plot_compared_curves(best, [metric], rest=rest), f"{caption}.", "curves", [chart])
    yield Section(title="Curves", images=[image])
