"""Tables for papers: means with intervals, the best of each metric, and what is not distinguishable from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from copycat.config.dotted_keys import short_names
from copycat.config.errors import UserError
from copycat.config.metric_names import stated_directions
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.tables.data_changes import describe_data_changes
from copycat.tables.grouping import Group, RecordedRun, group_runs, read_completed, varying_keys
from copycat.tables.query import resolve_name
from copycat.tables.run_row import REPEATS, RunRow, column_names
from copycat.tables.statistics import Direction, find_best, mean_interval, natural_direction

DEFAULT_METRICS = ("final/val/loss", "final/val/accuracy")
COUNTS = ("epochs", "best/epoch")
"""Numbers of which neither more nor less is better."""
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class PaperRequest:
    """Hold the requested contents of a table; empty names are chosen by the runs."""

    rows: Sequence[str] = ()
    """Keys whose values label the rows."""
    columns: Sequence[str] = ()
    """Keys whose values make columns; none: one column per metric."""
    metrics: Sequence[str] = ()
    digits: int = 3
    """Number of decimals."""
    in_python: bool = False
    """Whether messages name the parameters of Python, as `rows`, in place of options, as `--rows`."""

    @property
    def prefix(self) -> str:
        """Return what stands before the name of a setting in messages."""
        return "" if self.in_python else "--"


@dataclass(frozen=True)
class PaperCell:
    """Hold one configuration's values of a metric."""

    text: str
    """Mean, and half the interval's width behind a ±; empty where there is no run."""
    is_best: bool = False
    is_close: bool = False
    """Whether it is not distinguishable from the best."""
    runs: Sequence[RecordedRun] = ()


@dataclass(frozen=True)
class PaperTable:
    """Hold a table of text, yet to be escaped."""

    row_titles: Sequence[str]
    column_titles: Sequence[tuple[str, Direction | None]]
    """Titles of the columns of values, and the direction in which their metric improves."""
    rows: Sequence[tuple[Sequence[str], Sequence[PaperCell]]]
    """Labels and cells of each row."""
    notes: Sequence[str]


def make_paper_table(
    rows: Sequence[RunRow], request: PaperRequest, *, defaults: Sequence[str] = (), from_best: Sequence[str] = ()
) -> PaperTable:
    """Make the table of completed runs.

    Args:
        rows: the runs.
        request: what to show.
        defaults: metrics where none are named.
        from_best: metrics that are of the best epoch, though their names do not say so.

    Raises:
        UserError: where no run is completed, a name is unknown, or runs would be averaged that differ in more than
            seed and fold.
    """
    runs = list(read_completed(rows))
    if not runs:
        raise UserError("expected completed runs; got none. See them: copycat runs.")
    metrics = _resolve_metrics(runs, request, defaults)
    known = {key for run in runs for key in (*run.config, *run.row)} | {
        key.removesuffix("._target_") for run in runs for key in run.config
    }
    columns = [resolve_name(key, known, after=f"{request.prefix}columns") for key in request.columns]
    row_keys = [resolve_name(key, known, after=f"{request.prefix}rows") for key in request.rows]
    if both := [key for key in row_keys if key in columns]:
        prefix = request.prefix
        raise UserError(f"{prefix}columns: expected other keys than those of {prefix}rows; got {both[0]} in both.")
    runs = [replace(run, separate=run.separate | {*columns, *row_keys}) for run in runs]
    if not row_keys:
        row_keys = [key for key in varying_keys(runs) if key not in columns] or ["experiment"]
    groups = group_runs(runs, row_keys, columns, in_python=request.in_python)
    nodes = stated_directions(run.config for run in runs)
    directions = {metric: None if metric in COUNTS else natural_direction(metric, nodes) for metric in metrics}
    cells = {metric: _make_cells(groups, metric, request.digits, directions[metric]) for metric in metrics}
    count, short = len(row_keys), short_names([*row_keys, *columns])
    row_labels = {group.identity[:count]: _texts(group.labels[:count]) for group in groups}
    column_labels = {group.identity[count:]: _texts(group.labels[count:]) for group in groups}
    places = {group.identity: index for index, group in enumerate(groups)}
    shown = metrics if len(metrics) > 1 or not columns else [""]
    names = [short[key] for key in columns]
    titles = [
        (_column_title(labels, names, title), directions[metric])
        for labels in column_labels.values()
        for title, metric in zip(shown, metrics, strict=True)
    ]
    table_rows = [
        (labels, [_find(cells[metric], places.get((*row, *column))) for column in column_labels for metric in metrics])
        for row, labels in row_labels.items()
    ]
    left_out = len([row for row in rows if not row.get("copy_of")]) - len(runs)
    notes = _make_notes(groups, directions, cells, left_out=left_out, from_best=from_best, pivots=bool(columns))
    return PaperTable([short[key] for key in row_keys], titles, table_rows, list(notes))


def _find(cells: Sequence[PaperCell], place: int | None) -> PaperCell:
    return PaperCell("") if place is None else cells[place]


def _resolve_metrics(runs: Sequence[RecordedRun], request: PaperRequest, defaults: Sequence[str]) -> list[str]:
    names = [name for name in column_names(run.row for run in runs) if any(_is_metric(name, run.row) for run in runs)]
    if request.metrics:
        return [resolve_name(name, names, after=f"{request.prefix}metrics") for name in request.metrics]
    chosen = [name for name in defaults or DEFAULT_METRICS if name in names]
    if not chosen:
        raise UserError(
            f"{request.prefix}metrics: expected metrics of the runs; got none. See them: copycat runs --csv."
        )
    return chosen


def _is_metric(name: str, row: RunRow) -> bool:
    is_measured = "/" in name or name in ("seconds", "epochs", "parameters")
    return is_measured and isinstance(row.get(name), (int, float)) and not isinstance(row.get(name), bool)


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"{v:.6g}" if isinstance(v, float) and len(repr(v)) > 12 else printable(v) for v in values)


def _column_title(values: Sequence[str], names: Sequence[str], metric: str) -> str:
    parts = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    return ", ".join([*parts, *([_metric_title(metric)] if metric else [])])


def _metric_title(metric: str) -> str:
    return metric.removeprefix("final/")


def _make_cells(groups: Sequence[Group], metric: str, digits: int, direction: Direction | None) -> list[PaperCell]:
    """Make a metric's cell for each group; mark the best and what is not distinguishable from it."""
    values = [group.metric(metric) for group in groups]
    means = [fmean(one.values()) if one else None for one in values]
    present = [index for index, one in enumerate(values) if one]
    most = max((len(one) for one in values), default=0)
    best, close = -1, set[int]()
    if len(present) > 1 and direction is not None:
        first, others = find_best(
            [values[index] for index in present], direction, overlap=_overlap(groups), level=LEVEL
        )
        best, close = present[first], {present[index] for index in others} if most > 1 else set()
        close -= {index for index in close if means[index] == means[best]}
    return [
        PaperCell(
            text=_format(list(one.values()), digits, most) if one else "",
            is_best=best >= 0 and means[index] == means[best],
            is_close=index in close,
            runs=[groups[index].runs[repeat] for repeat in one],
        )
        for index, one in enumerate(values)
    ]


def _overlap(groups: Sequence[Group]) -> float:
    """Return the number of validation images by that of training images, where the split varies; else 0."""
    runs = [run for group in groups for run in group.runs.values()]
    varies = any(len({run.split for run in group.runs.values()}) > 1 for group in groups)
    return max(run.overlap for run in runs) if varies else 0.0


def _format(values: Sequence[float], digits: int, most: int) -> str:
    mean, interval = fmean(values), mean_interval(values)
    text = _format_number(mean, digits) if not all(isinstance(v, int) for v in values) or interval else str(values[0])
    if interval is not None:
        text += f" ± {_format_number((interval[1] - interval[0]) / 2, digits)}"
    return text if len(values) == most else f"{text} (n = {len(values)})"


def _format_number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == 0 or 10**-digits <= abs(value) < 1e5 else f"{value:.{max(digits, 1)}g}"


def _make_notes(
    groups: Sequence[Group],
    metrics: Mapping[str, Direction | None],
    cells: Mapping[str, Sequence[PaperCell]],
    *,
    left_out: int,
    from_best: Sequence[str],
    pivots: bool,
) -> Iterator[str]:
    """Describe the numbers, the runs that they summarize, and their comparison."""
    if pivots and len(metrics) == 1:
        ((metric, direction),) = metrics.items()
        better = {"minimize": " (lower is better)", "maximize": " (higher is better)", None: ""}[direction]
        yield f"{_metric_title(metric)}{better}."
    if final := [_metric_title(name) for name in metrics if name.startswith("final/")]:
        yield f"{' and '.join(final)}: of the final weights."
    if best := [name for name in metrics if name in from_best]:
        yield f"{' and '.join(best)}: of each run's best epoch."
    most = max((len(group.runs) for group in groups), default=0)
    if most > 1:
        repeats = [key for place, key in enumerate(REPEATS) if len({r[place] for g in groups for r in g.runs}) > 1]
        differing = " and ".join(repeats)
        yield f"Mean ± half of its 95 % interval by Student's t, over n = {most} runs that differ in {differing}."
    else:
        yield "One run per configuration."
    for group in groups:
        folders = ((str(run.row["run"]), Path(run.row["folder"])) for run in group.runs.values())
        if note := describe_data_changes(folders, noun="run"):
            yield f"{note[0].upper()}{note[1:]}."
    if len(groups) > 1 and any(metrics.values()):
        yield "Bold: the best."
        if any(cell.is_close for column in cells.values() for cell in column):
            yield "†: not distinguishable from it."
        yield _describe_test(groups) if most > 1 else "Single runs were not tested for differences."
    if left_out:
        yield f"{pluralize(left_out, 'run')} that did not complete left out."


def _describe_test(groups: Sequence[Group]) -> str:
    common = all(len(a.runs.keys() & b.runs.keys()) > 1 for a in groups for b in groups)
    welch = "" if common else " where two runs or more have the same seed and fold, else Welch's"
    kind = f"t tests, paired by seed and fold{welch}"
    corrected = ", with Nadeau and Bengio's correction for overlapping training images" if _overlap(groups) else ""
    return f"{kind}{corrected}, against the best, two-sided, α = {LEVEL} with Holm's correction per metric."


def group_by_runs(
    table: PaperTable, cells: Sequence[PaperCell]
) -> Iterator[tuple[Sequence[str], Sequence[RecordedRun]]]:
    """Yield the titles of a row's columns that have the same runs, and these."""
    found: dict[tuple[str, ...], tuple[list[str], Sequence[RecordedRun]]] = {}
    for (title, _), cell in zip(table.column_titles, cells, strict=True):
        if cell.runs:
            found.setdefault(tuple(run.row["folder"] for run in cell.runs), ([], cell.runs))[0].append(title)
    yield from found.values()
