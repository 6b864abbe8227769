"""Print a comparison of runs as a table, CSV or JSON."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from copycat.config.metric_names import Nodes
from copycat.config.printable import csv_text, print_line, printable
from copycat.config.suggestions import one_of, pluralize
from copycat.tables.comparison import ComparisonLine, RunComparison
from copycat.tables.render import csv_cell, format_interval, print_table, value_cell, wide_console, write_json
from copycat.tables.statistics import (
    CLOSE,
    describe_mcnemar,
    direction_sign,
    format_number,
    mcnemar_p_value,
    natural_direction,
    reject_by_holm,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ACCURACY = "val/accuracy"


def print_comparison(compared: RunComparison, *, equal: bool) -> None:
    """Print a table to standard output, with a `*` at the best of each metric."""
    lines = compared.lines(equal=equal)
    lines = [line for line in lines if line.kind != "run" or any(v is not None for v in line.values.values())]
    titles = [("name", value_cell("")), *((printable(title), value_cell(title)) for title in compared.folders)]
    certainty = assess_accuracies(compared)
    nodes = compared.metric_nodes
    rows = [{"": line.name, **format_cells(line, nodes, close=certainty.close)} for line in lines]
    print_table(wide_console(), titles, rows, shrinkable=[title for title, _ in titles[1:]])
    if not compared.keys(equal=False):
        print_line("the configurations are the same")
    for note in (*_column_notes(lines), *certainty.sentences):
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
    """Name the parts whose metrics have no best value, since the runs measured them on different images."""
    if parts := {line.name.split("/")[1] for line in lines if not line.comparable} - {"epoch"}:
        yield f"no * at metrics of {one_of(parts)}: the runs have other images there, or other classes"


@dataclass(frozen=True)
class Certainty:
    """Hold the validation accuracies of runs, as far as they are known."""

    sentences: Sequence[str]
    """Their confidence intervals, and McNemar's tests of runs on the same images."""
    close: Sequence[str] = ()
    """Runs that are not distinguishable from the one with the best accuracy.

    None where images may have several classes: the tests count images whose classes are all predicted right.
    """


def assess_accuracies(compared: RunComparison) -> Certainty:
    """Compute the intervals of the validation accuracies, and test those of runs on the same images."""
    sentences, intervals = [], []
    for name, row in compared.rows.items():
        if "accuracy_low" in row:
            share, images = row[f"final/{ACCURACY}"], compared.manifests[name]["data"]["images"]["val"]
            text = f"{format_interval(row)}, {pluralize(images, 'image')}"
            intervals.append(f"{printable(name)}: {format_number(share)} ({text})")
    if intervals:
        sentences.append(f"{ACCURACY} with its 95 % interval (Wilson): {'; '.join(intervals)}")
    correct = _read_correct(compared)
    if not correct:
        return Certainty(sentences)
    best, close = find_close(correct)
    if len(correct) == 2:
        (a, one), (b, other) = correct.items()
        first, second = int((one & ~other).sum()), int((other & ~one).sum())
        sentences.append(describe_mcnemar(printable(a), printable(b), first, second))
    is_several = any(manifest["data"].get("multi_label") for manifest in compared.manifests.values())
    measure = "exact match" if is_several else f"final/{ACCURACY} ({CLOSE})"
    if close:
        sentences.append(
            f"not distinguishable from {printable(best)}, the best in {measure}:"
            f" {', '.join(map(printable, close))}, by McNemar's exact tests, α = 0.05 with Holm's correction"
        )
    return Certainty(sentences, () if is_several else close)


def find_close(correct: "Mapping[str, NDArray[np.bool_]]") -> tuple[str, list[str]]:
    """Return the run that is right on most images, and those that McNemar's tests do not tell apart from it.

    `correct` says of each run on which of the same images it is right.
    """
    best = max(correct, key=lambda name: int(correct[name].sum()))
    p_values = {
        name: mcnemar_p_value(int((correct[best] & ~one).sum()), int((one & ~correct[best]).sum()))
        for name, one in correct.items()
        if name != best
    }
    distinguished = reject_by_holm(p_values)
    return best, [name for name in p_values if name not in distinguished]


def _read_correct(compared: RunComparison) -> "dict[str, NDArray[np.bool_]]":
    """Return on which validation images each run is right; empty unless all have the same images and classes."""
    from copycat.records.predictions import read_predictions  # imports NumPy, which nothing else here needs

    found = {}
    measured_on = []
    for name, folder in compared.folders.items():
        manifest = compared.manifests.get(name) or {}
        try:
            predicted = read_predictions(folder, classes=len(manifest["data"]["classes"]))["val"]
            measured_on.append(
                (manifest["provenance"]["data"]["val"], manifest["data"]["classes"], len(predicted.label))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        found[name] = predicted.is_correct
    return found if all(one == measured_on[0] for one in measured_on) else {}


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


def format_cells(line: ComparisonLine, nodes: Nodes, *, close: Sequence[str] = ()) -> dict[str, str]:
    """Format a line's values by title, marking the best metric where they differ and can be compared.

    `close` are the titles of runs whose accuracy is not distinguishable from the best.
    """
    if line.kind == "config":
        return {title: printable(value) for title, value in line.values.items()}
    present = {title: value for title, value in line.values.items() if value is not None}
    metric = line.name.partition("/")[2]
    if line.kind == "run" or metric == "epoch":
        return {title: value if isinstance(value, str) else format_number(value) for title, value in present.items()}
    sign = direction_sign(natural_direction(metric, nodes))
    best = min(present.values(), key=lambda value: sign * value)
    several = line.comparable and len(set(present.values())) > 1
    marks = dict.fromkeys(close, f" {CLOSE}") if line.name == f"final/{ACCURACY}" else {}
    return {
        title: format_number(value) + (" *" if several and value == best else marks.get(title, "  "))
        for title, value in present.items()
    }
