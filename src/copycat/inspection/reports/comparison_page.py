"""Compare several runs on one page: configuration differences, curves, metrics."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import PageImage, Section, Table
from copycat.inspection.reports.page import Page
from copycat.records.lock import KILLED
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.records.reader import not_a_run
from copycat.tables.comparison import RunComparison, read_comparison
from copycat.tables.comparison_table import describe_uncertainty, format_cells

MAX_RUNS = 12
"""Runs on one page, at most."""
PLOTTED_METRICS = ("val/loss", "train/loss", "val/accuracy")


def make_comparison_page(folders: Sequence[Path], *, title: str) -> Page:
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
    lines = compared.lines(equal=False)
    kinds = {
        "Results": [line for line in lines if line.kind == "run"],
        "Configuration": [line for line in lines if line.kind == "config"],
        "Metrics": [line for line in lines if line.kind == "metric"],
    }
    notes = {
        "Configuration": "Keys that differ.",
        "Metrics": ". ".join(["* is the best of its row", *describe_uncertainty(compared)]) + ".",
    }
    sections = []
    for name, lines_of_kind in kinds.items():
        if lines_of_kind:
            cells = {line.name: format_cells(line) for line in lines_of_kind}
            rows = [[name, *(row.get(title, "–").strip() for title in compared.folders)] for name, row in cells.items()]
            table = Table(rows, ["", *compared.folders])
            sections.append(Section(title=name, note=notes.get(name, ""), table=table))
        if name == "Results":
            sections += _curves(compared)
    killed = [folder for name, folder in compared.folders.items() if compared.rows[name]["status"] == KILLED]
    if killed:
        code = "\n".join(f"copycat resume {shlex.quote(str(folder))}" for folder in killed)
        sections.append(Section(title="Resume killed runs", code=code))
    commands = "\n".join(f"copycat report {shlex.quote(str(folder))}" for folder in folders)
    sections.append(Section(title="Reports", code=commands))
    return Page(title, f"{pluralize(len(folders), 'run')} side by side", sections)


def _curves(compared: RunComparison) -> list[Section]:
    rows = {
        printable(name): _history(folder)
        for name, folder in compared.folders.items()
        if (folder / HISTORY).exists() and name in compared.manifests
    }
    metrics = [
        metric
        for metric in PLOTTED_METRICS
        if any(metric in row for rows_of_run in rows.values() for row in rows_of_run)
    ]
    if not metrics:
        return []
    from copycat.inspection.reports.curves import plot_compared_curves  # matplotlib is an extra, and slow to import

    caption = f"{', '.join(metrics)} by epoch, a line for each of {', '.join(rows)}."
    return [Section(title="Curves", images=[PageImage(plot_compared_curves(rows, metrics), caption, "curves")])]


def _history(folder: Path) -> Sequence[Mapping[str, float]]:
    try:
        return read_history(folder)
    except (OSError, ValueError) as error:
        raise not_a_run(folder, error) from error
