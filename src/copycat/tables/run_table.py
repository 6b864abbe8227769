"""Print the table of runs, read from their folders. Imports nothing heavy."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.metric_names import metric_nodes
from copycat.config.printable import print_line
from copycat.config.rule_builders import is_number
from copycat.config.suggestions import pluralize
from copycat.records.lock import KILLED
from copycat.records.reader import find_runs, parse_config
from copycat.tables.index import read_records, read_rows
from copycat.tables.query import Query, resolve_name, select_rows, sort_rows
from copycat.tables.render import (
    WIDE_COLUMNS,
    Column,
    format_interval,
    format_majority,
    format_seconds,
    metric_cell,
    print_table,
    status_cell,
    status_notes,
    wide_console,
)
from copycat.tables.run_reader import RunRecord
from copycat.tables.run_row import FINAL, RunRow, column_names, make_row
from copycat.tables.statistics import Direction, natural_direction

SHOWN_METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
INTERVAL_WIDTH = 26
"""Width of the interval and majority columns, in characters."""
MAX_RESUMES = 5
"""Commands to resume runs that are printed, at most."""


def check_folder(root: Path) -> None:
    """Raise a UserError where a folder of runs does not exist."""
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of runs; got none. Make a run: copycat train.")


def read_run_records(root: Path) -> list[RunRecord]:
    """Read the runs at or below a folder, which must exist; report unreadable ones on standard error."""
    check_folder(root)
    return read_records(root)


def make_rows(records: Iterable[RunRecord], root: Path, *, objectives: Collection[str] = ()) -> list[RunRow]:
    """Flatten runs into rows, the newest last."""
    return sort_rows((make_row(record, root, objectives=objectives) for record in records), "started")


def read_run_rows(
    root: Path, *, objectives: Collection[str] = (), metrics: Collection[str] | None = None
) -> list[RunRow]:
    """Read the runs at or below a folder as rows, as `read_run_records` and `make_rows`; metrics as for `read_rows`."""
    check_folder(root)
    return sort_rows(read_rows(root, objectives=objectives, metrics=metrics), "started")


def print_runs(root: Path, query: Query | None = None) -> None:
    """Print the runs at or below a folder to standard output, the newest last unless sorted otherwise.

    Raises:
        UserError: where there is no such folder, or the query is invalid.
    """
    query = query or Query()
    metrics = [f"{FINAL}{name}" for name in SHOWN_METRICS] if query.is_empty else None  # a query may name any other
    rows = read_run_rows(root, metrics=metrics)
    shown = select_rows(rows, query)
    if not shown:
        if rows:
            print_line(f"none of {pluralize(len(rows), 'run')} in {root}")
        elif any(find_runs(root)):  # each was named on standard error
            print_line(f"no readable run in {root}")
        else:
            print_line(f"no runs in {root}. Make one: copycat train")
        return
    console = wide_console()
    wide = console.width >= WIDE_COLUMNS + INTERVAL_WIDTH
    titles: list[Column] = [
        ("run", lambda row: row["run"]),
        ("status", status_cell(shown)),
        ("overrides", lambda row: row["overrides"]),
        *((f"final\n{name}", metric_cell(f"final/{name}")) for name in (SHOWN_METRICS if wide else SHOWN_METRICS[-1:])),
    ]
    if wide:
        titles += [("95 %\ninterval", format_interval), ("majority\nbaseline", format_majority)]
        titles += [("epochs", metric_cell("epochs")), ("seconds", format_seconds)]
    print_table(console, titles, shown, shrinkable=("overrides",))
    for note in _column_notes(shown, wide=wide):
        print_line(note)
    print_resumes(shown, root)


def _column_notes(rows: Sequence[RunRow], *, wide: bool) -> Iterator[str]:
    """Explain the columns of the table that have values."""
    if any("final/val/accuracy" in row for row in rows):
        yield "final: of the final weights, evaluated once after the last epoch"
    if wide and any("accuracy_low" in row for row in rows):
        yield "95 % interval: of val/accuracy, by Wilson's score"
        yield "majority baseline: val/accuracy of always predicting the most frequent class"
    if wide:
        yield "seconds: wall time of the run"
    yield from status_notes(rows)


def best_run(root: Path, query: Query, *, by: str | None, objectives: Mapping[str, Direction] = {}) -> RunRow:
    """Return the completed run with the best value of a metric, by default of val/loss, within its constraints.

    Args:
        root: the folder of the runs.
        query: which of them to choose from.
        by: name of the metric; None for val/loss.
        objectives: those of their sweep, whose values are of the best epoch, as in its table.

    Raises:
        UserError: where there is none, or the metric is of the test part.
    """
    rows, by = read_run_rows(root, objectives=objectives), by or "val/loss"
    name = resolve_name(by, column_names(rows), after="--by") if rows else by
    if "test/" in name:
        raise UserError(
            f"--by: expected a metric of train or val, since choosing by the test part would overfit it; got {by!r}."
        )
    chosen = select_rows(rows, query)
    completed = [row for row in chosen if row["status"] == "completed" and is_number(row.get(name))]
    completed = [row for row in completed if "violated_constraints" not in row]
    if not completed:
        raise UserError(f"--best: expected a completed run with {by}{within_constraints(chosen)}; got none in {root}.")
    nodes = metric_nodes(parse_config(Path(completed[0]["folder"]))[1])
    direction = objectives.get(name) or natural_direction(name, nodes)
    return sort_rows(completed, name, descending=direction == "maximize")[0]


def within_constraints(rows: Iterable[RunRow]) -> str:
    """Return what is expected of the best run beside its metric: to keep to the constraints that some run violates."""
    return " that keeps to sweep.constraints" if any("violated_constraints" in row for row in rows) else ""


def print_resumes(rows: Iterable[RunRow], root: Path) -> None:
    """Print the commands that resume killed runs; trials are resumed with their sweep."""
    killed = [row for row in rows if row["status"] == KILLED]
    folders = [*dict.fromkeys(Path(row["folder"]).parent if "trial" in row else Path(row["folder"]) for row in killed)]
    for folder in folders[:MAX_RESUMES]:
        print_line(f"killed; to resume: copycat resume {shlex.quote(str(folder))}")
    if len(folders) > MAX_RESUMES:
        more = shlex.join(["copycat", "runs", str(root), "--filter", f"status={KILLED}", "--csv"])
        print_line(f"and {len(folders) - MAX_RESUMES} more: {more}")


def rerun_command(row: RunRow) -> str:
    """Return the command that reruns a run."""
    return f"copycat rerun {shlex.quote(row['folder'])}"
