"""Print a comparison of runs as a table, CSV or JSON."""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal

from copycat.config.metric_names import Nodes
from copycat.config.printable import csv_text, print_line, printable
from copycat.tables.comparison import ComparisonLine, RunComparison
from copycat.tables.render import csv_cell, print_table, value_cell, wide_console, write_json
from copycat.tables.statistics import (
    describe_mcnemar,
    direction_sign,
    format_number,
    natural_direction,
    wilson_interval,
)


def print_comparison(compared: RunComparison, *, equal: bool) -> None:
    """Print a table to standard output, with a `*` at the best of each metric."""
    lines = compared.lines(equal=equal)
    lines = [line for line in lines if line.kind != "run" or any(v is not None for v in line.values.values())]
    titles = [("name", value_cell("")), *((printable(title), value_cell(title)) for title in compared.folders)]
    rows = [{"": line.name, **format_cells(line, compared.metric_nodes)} for line in lines]
    print_table(wide_console(), titles, rows, shrinkable=[title for title, _ in titles[1:]])
    if not compared.keys(equal=False):
        print_line("the configurations are the same")
    for note in (*_column_notes(lines), *describe_uncertainty(compared)):
        print_line(note)


def _column_notes(lines: Sequence[ComparisonLine]) -> Iterator[str]:
    """Explain the names and marks that occur in the table."""
    names = [line.name for line in lines if line.kind == "metric"]
    if names:
        yield "*: the best value of a metric; –: not recorded"
    yield from comparability_notes(lines)
    if any(name.startswith("final/") for name in names):
        yield "final/: of the final weights, evaluated once after the last epoch"
    if any(name.startswith("best/") for name in names):
        yield "best/: of the epoch best/epoch; best/train/: measured during it, on each batch before its update"


def comparability_notes(lines: Sequence[ComparisonLine]) -> Iterator[str]:
    """Say which parts' metrics have no best value, since the runs measured them on different images."""
    if parts := dict.fromkeys(line.name.split("/")[1] for line in lines if not line.comparable):
        yield f"no * at {' and '.join(parts)} metrics: the runs have other images there, or other classes"


def describe_uncertainty(compared: RunComparison) -> Iterator[str]:
    """Yield the confidence interval of each validation accuracy, and McNemar's test of two runs on the same images."""
    intervals = []
    for name, row in compared.rows.items():
        images = (compared.manifests.get(name) or {}).get("data", {}).get("images", {}).get("val")
        share = row.get("final/val/accuracy")
        if images and share is not None and 0 <= share <= 1:
            low, high = wilson_interval(share, images)
            intervals.append(f"{printable(name)}: {format_number(share)} ({low:.2f} to {high:.2f}, {images} images)")
    if intervals:
        yield f"val/accuracy with its 95 % interval (Wilson): {'; '.join(intervals)}"
    if len(compared.folders) == 2 and (pair := _count_discordant(compared)):
        (a, b), (one, other) = compared.folders, pair
        yield describe_mcnemar(printable(a), printable(b), one, other)


def _count_discordant(compared: RunComparison) -> tuple[int, int] | None:
    """Count the validation images that only one of two runs gets right; None unless both have the same images."""
    from copycat.records.predictions import read_predictions  # imports NumPy, which nothing else here needs

    parts = []
    for name, folder in compared.folders.items():
        manifest = compared.manifests.get(name) or {}
        try:
            predicted = read_predictions(folder, classes=len(manifest["data"]["classes"]))["val"]
            parts.append((manifest["provenance"]["data"]["val"], manifest["data"]["classes"], predicted))
        except (OSError, ValueError, KeyError, TypeError):
            return None
    (data, classes, one), (other_data, other_classes, other) = parts
    if (data, classes) != (other_data, other_classes) or len(one.label) != len(other.label):
        return None
    return int((one.is_correct & ~other.is_correct).sum()), int((other.is_correct & ~one.is_correct).sum())


def write_comparison(compared: RunComparison, *, equal: bool, form: Literal["csv", "json"]) -> None:
    """Write the lines unabridged to standard output."""
    lines = compared.lines(equal=equal)
    if form == "json":
        folders = {title: str(folder) for title, folder in compared.folders.items()}
        write_json({"runs": folders, "rows": [asdict(line) for line in lines]})
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["kind", "name", *map(csv_text, compared.folders)])
    for line in lines:
        writer.writerow(
            [line.kind, csv_text(line.name), *(csv_cell(line.values.get(title)) for title in compared.folders)]
        )


def format_cells(line: ComparisonLine, nodes: Nodes) -> dict[str, str]:
    """Format a line's values by title, marking the best metric where they differ and can be compared."""
    if line.kind == "config":
        return {title: printable(value) for title, value in line.values.items()}
    present = {title: value for title, value in line.values.items() if value is not None}
    metric = line.name.partition("/")[2]
    if line.kind == "run" or metric == "epoch":
        return {title: value if isinstance(value, str) else format_number(value) for title, value in present.items()}
    sign = direction_sign(natural_direction(metric, nodes))
    best = min(present.values(), key=lambda value: sign * value)
    several = line.comparable and len(set(present.values())) > 1
    return {
        title: format_number(value) + (" *" if several and value == best else "  ") for title, value in present.items()
    }
