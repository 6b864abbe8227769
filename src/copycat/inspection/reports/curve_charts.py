"""Metrics by epoch as interactive charts: training and validation of one run, or several runs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite

import numpy as np

from copycat.inspection.reports.contents import BEHIND, Axis, Chart, Series, SeriesStyle

Rows = Sequence[Mapping[str, float]]
MAX_POINTS = 600
"""Epochs of a chart, at most."""
LOG_RATIO = 10.0
"""Ratio between the largest and the smallest loss of several runs from which their axis is logarithmic at first."""
PART_STYLES = {"train": SeriesStyle(1, 0), "val": SeriesStyle(2, 1), "test": SeriesStyle(3, 2)}


def make_curve_charts(rows: Rows, metrics: Sequence[str], *, best: int | None = None) -> list[Chart]:
    """Make a chart for each metric, such as `loss`, with a line for each part that has it."""
    charts = []
    for metric in metrics:
        styles = {f"{part}/{metric}": style for part, style in PART_STYLES.items()}
        names = [name for name in styles if any(name in row for row in rows)]
        thinned = thin_rows(rows, names)
        series = [Series(label=name, y=[row.get(name) for row in thinned], style=styles[name]) for name in names]
        charts.append(
            Chart(
                title=metric if best is None else f"{metric} (dashed line: best epoch, {best})",
                x_axis=Axis(label="epoch"),
                y_axis=Axis(label=metric),
                x=[row["epoch"] for row in thinned],
                series=series,
                marks=[] if best is None else [best],
            )
        )
    return charts


def make_compared_charts(runs: Mapping[str, Rows], metrics: Sequence[str]) -> list[Chart]:
    """Make a chart for each metric, such as `val/loss`, with a line for each run."""
    return [make_compared_chart(runs, metric) for metric in metrics]


def make_compared_chart(
    runs: Mapping[str, Rows], metric: str, *, rest: Sequence[Rows] = (), max_points: int = MAX_POINTS
) -> Chart:
    """Make the chart of one metric with a line for each run, before the lines of the rest."""
    title = f"the other {len(rest)}" if len(rest) > 1 else "the other"
    behind = [_make_line(title, rows, metric, BEHIND, max_points) for rows in rest]
    lines = [
        _make_line(name, rows, metric, SeriesStyle.of(index), max_points)
        for index, (name, rows) in enumerate(runs.items())
        if any(metric in row for row in rows)
    ]
    series = [*behind, *lines]
    y = [value for one in series for value in one.y if value is not None and isfinite(value)]
    is_log = "loss" in metric and bool(y) and min(y) > 0 and max(y) > LOG_RATIO * min(y)
    return Chart(title=metric, x_axis=Axis(label="epoch"), y_axis=Axis(label=metric, log=is_log), series=series)


def _make_line(label: str, rows: Rows, metric: str, style: SeriesStyle, max_points: int) -> Series:
    thinned = thin_rows([row for row in rows if metric in row], [metric], max_points=max_points)
    y = [row[metric] for row in thinned]
    return Series(label=label, x=[row["epoch"] for row in thinned], y=y, style=style)


def thin_rows(rows: Rows, names: Sequence[str], *, max_points: int = MAX_POINTS) -> Rows:
    """Return some of the rows: the first, the last, and the extremes of each metric in intervals of equal length."""
    if len(rows) <= max_points or not names:
        return rows
    buckets = max(1, (max_points - 2) // (2 * len(names)))
    edges = np.linspace(0, len(rows), buckets + 1).astype(int)
    values = np.array([[row.get(name, np.nan) for name in names] for row in rows])
    kept = {0, len(rows) - 1}
    for first, last in pairwise(edges):
        for column in values[first:last].T:
            if (finite := np.flatnonzero(np.isfinite(column))).size:
                kept |= {int(first + finite[column[finite].argmin()]), int(first + finite[column[finite].argmax()])}
    return [rows[index] for index in sorted(kept)]
