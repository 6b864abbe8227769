"""Compare several runs on one page: configuration differences, curves, metrics."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import Fact, PageImage, Section, Table
from copycat.inspection.reports.curve_charts import make_compared_charts
from copycat.inspection.reports.page import Page
from copycat.inspection.reports.verdict import bootstrap_accuracies, make_verdict
from copycat.records.lock import KILLED
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.tables.comparison import RunComparison, read_comparison
from copycat.tables.comparison_table import assess_accuracies, comparability_notes, format_cells
from copycat.tables.render import format_interval, format_majority
from copycat.tables.run_row import RunRow
from copycat.tables.statistics import format_number

MAX_RUNS = 12
"""Runs on one page, at most."""
PLOTTED_METRICS = ("val/loss", "train/loss", "val/accuracy")


def make_comparison_page(folders: Sequence[Path]) -> Page:
    """Make the page from the runs' folders alone.

    Raises:
        UserError: where one is no run, or there are too many.
    """
    if len(folders) > MAX_RUNS:
        raise UserError(
            f"report: expected {MAX_RUNS} runs or fewer side by side; got {len(folders)}."
            " Name some of them, or a sweep."
        )
    compared = read_comparison(folders)
    lines, certainty = compared.lines(equal=False), assess_accuracies(compared)
    metric_notes = ["* is the best of its row", *comparability_notes(lines), *certainty.sentences]
    notes = {"run": "", "config": "Keys that differ.", "metric": ". ".join(metric_notes) + "."}
    sections, nodes = [], compared.metric_nodes
    for kind, title in (("run", "Results"), ("config", "Configuration"), ("metric", "Metrics")):
        formatted = {line.name: format_cells(line, nodes, close=certainty.close) for line in lines if line.kind == kind}
        cells = {name: found for name, found in formatted.items() if found}
        if cells:
            rows = [[name, *(row.get(run, "–").strip() for run in compared.folders)] for name, row in cells.items()]
            sections.append(Section(title=title, note=notes[kind], table=Table(rows, ["", *compared.folders])))
        if kind == "run":
            sections += _curves(compared)
    killed = [folder for name, folder in compared.folders.items() if compared.rows[name]["status"] == KILLED]
    if killed:
        code = "\n".join(f"copycat resume {shlex.quote(str(folder))}" for folder in killed)
        sections.append(Section(title="Resume killed runs", code=code))
    commands = "\n".join(f"copycat report {shlex.quote(str(folder))}" for folder in folders)
    sections.append(Section(title="Reports", code=commands))
    facts = [*_facts(compared)]
    summary = [make_verdict(facts)] if facts else []
    tests = [sentence for sentence in certainty.sentences if "McNemar" in sentence]
    summary += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in tests]
    return Page(_title(compared), "\n".join([*summary, ", ".join(map(str, folders))]), sections, facts)


def _title(compared: RunComparison) -> str:
    """Return how many runs of what on what are compared, such as `2 runs compared: mlp and cnn on Cats`."""
    names = {
        group: dict.fromkeys(
            str(config[f"{group}._target_"]).rpartition(".")[2]
            for config in compared.configs.values()
            if f"{group}._target_" in config
        )
        for group in ("model", "data")
    }
    words = " on ".join(" and ".join(each) for each in names.values() if each)
    return f"{pluralize(len(compared.folders), 'run')} compared{f': {words}' if words else ''}"


def _facts(compared: RunComparison) -> Iterator[Fact]:
    """Yield the validation accuracy of each run, the highest first."""
    found = {name: _with_interval(compared, name) for name in compared.rows}
    rows = {name: row for name, row in found.items() if "accuracy_low" in row}
    for name in sorted(rows, key=lambda name: -rows[name]["final/val/accuracy"]):
        row, value = rows[name], format_number(rows[name]["final/val/accuracy"])
        note = f"95 % interval {format_interval(row)}"
        if compared.manifests[name]["data"].get("multi_label"):
            note += ", a mean over the classes"
        is_above = row["majority"] is not None and row["accuracy_low"] > row["majority"]
        if row["majority"] is not None:
            note += f"; majority baseline {format_majority(row)}"
        title = f"Run {printable(name)}"
        yield Fact(title, value, f"{title}: validation accuracy {value} ({note})", note, "good" if is_above else "")


def _with_interval(compared: RunComparison, name: str) -> RunRow:
    """Return a run's row, with an interval by bootstrap where images may have several classes."""
    row, data = compared.rows[name], compared.manifests.get(name, {}).get("data", {})
    if not data.get("multi_label") or "final/val/accuracy" not in row:
        return row
    if (interval := bootstrap_accuracies(compared.folders[name]).get("val")) is None:
        return row
    low, high = interval
    return {**row, "accuracy_low": low, "accuracy_high": high, "majority": data.get("majority", {}).get("val")}


def _curves(compared: RunComparison) -> list[Section]:
    rows = {
        printable(name): read_history(folder)
        for name, folder in compared.folders.items()
        if (folder / HISTORY).exists() and name in compared.manifests
    }
    names = {name for history in rows.values() for row in history for name in row}
    metrics = [metric for metric in PLOTTED_METRICS if metric in names]
    if not metrics:
        return []
    from copycat.inspection.reports.curves import plot_compared_curves  # matplotlib is an extra, and slow to import

    caption = f"{', '.join(metrics)} by epoch, a line for each of {', '.join(rows)}."
    charts = make_compared_charts(rows, metrics)
    image = PageImage(plot_compared_curves(rows, metrics), caption, "curves", charts, synced=True)
    return [Section(title="Curves", images=[image])]
