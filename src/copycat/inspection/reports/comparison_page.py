"""Several runs on one page: what differs in their configurations, their curves, their metrics."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.reports.page import Image, Page, Section, Table
from copycat.records.lock import KILLED
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_history
from copycat.records.reader import not_a_run
from copycat.tables.comparison import Compared, Line, cells, how_sure, read_compared

MOST = 12
"""Runs side by side."""
DRAWN = ("val/loss", "train/loss", "val/accuracy")


def compared_page(folders: Sequence[Path], *, title: str) -> Page:
    """Made from the runs' folders alone.

    Raises:
        UserError: where one is no run, or they are too many.
    """
    if len(folders) > MOST:
        raise UserError(
            f"report: expected {MOST} runs or fewer side by side; got {len(folders)}. Name some of them, or a sweep."
        )
    compared = read_compared(folders)
    lines = compared.lines(equal=False)
    kinds = {
        "How they ended": [line for line in lines if line.kind == "run"],
        "What was asked": [line for line in lines if line.kind == "config"],
        "Metrics": [line for line in lines if line.kind == "metric"],
    }
    notes = {
        "What was asked": "Keys that differ.",
        "Metrics": ". ".join(["* is the best of its row", *how_sure(compared)]) + ".",
    }
    sections = []
    for name, found in kinds.items():
        if found:
            table = Table([[line.name, *_row(line, compared)] for line in found], ["", *compared.folders])
            sections.append(Section(title=name, note=notes.get(name, ""), table=table))
        if name == "How they ended":
            sections += _curves(compared)
    killed = [folder for name, folder in compared.folders.items() if compared.found[name]["status"] == KILLED]
    if killed:
        code = "\n".join(f"copycat resume {shlex.quote(str(folder))}" for folder in killed)
        sections.append(Section(title="Go on with those that were killed", code=code))
    commands = "\n".join(f"copycat report {shlex.quote(str(folder))}" for folder in folders)
    sections.append(Section(title="Each by itself", code=commands))
    return Page(title, f"{pluralize(len(folders), 'run')} side by side", sections)


def _row(line: Line, compared: Compared) -> list[str]:
    shown = cells(line)
    return [shown.get(name, "–").strip() for name in compared.folders]


def _curves(compared: Compared) -> list[Section]:
    rows = {
        printable(name): _history(folder)
        for name, folder in compared.folders.items()
        if (folder / HISTORY).exists() and name in compared.manifests
    }
    drawn = [metric for metric in DRAWN if any(metric in row for of_run in rows.values() for row in of_run)]
    if not drawn:
        return []
    from copycat.inspection.reports.curves import compared_curves  # what draws is an extra, and takes half a second

    says = f"{', '.join(drawn)} by epoch, a line for each of {', '.join(rows)}."
    return [Section(title="Curves", images=[Image(compared_curves(rows, drawn), says, "curves")])]


def _history(folder: Path) -> Sequence[Mapping[str, float]]:
    try:
        return read_history(folder)
    except (OSError, ValueError) as error:
        raise not_a_run(folder, error) from error
