"""How rows are written to standard output: as a table, CSV or JSON."""

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from copycat.config.printable import csv_text, make_console, printable, printable_lines
from copycat.tables.run_row import Facts, columns
from copycat.tables.statistics import figure

WIDE = 140
"""Columns of a terminal from which all of a table's are shown."""
Column = tuple[str, Callable[[Facts], str]]
"""A title, and a row's cell."""


def status(row: Facts) -> str:
    return f"{row['status']}{' (drawn)' if row['synthetic'] else ''}"


def seconds(row: Facts) -> str:
    return "–" if row["seconds"] is None else f"{row['seconds']:.1f}"


def interval(row: Facts) -> str:
    """Of the accuracy on validation, where it is known of how many images."""
    return f"{row['accuracy_low']:.2f} to {row['accuracy_high']:.2f}" if "accuracy_low" in row else ""


def majority(row: Facts) -> str:
    """What always saying the commonest class of the validation images would score."""
    return "" if row.get("majority") is None else figure(row["majority"])


def measured(name: str) -> Callable[[Facts], str]:
    """The cell of a figure."""
    return lambda row: figure(row.get(name))


def given(name: str) -> Callable[[Facts], str]:
    """The cell of a value as it was given; of one that a sampler drew, six digits."""

    def cell(row: Facts) -> str:
        value = row.get(name, "–")
        return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 12 else printable(value)

    return cell


def wide_console() -> Console:
    """Standard output; a pipe has no width: each run stays on its line there."""
    return make_console(width=None if os.isatty(1) else 400)


def print_table(
    console: Console, titles: Sequence[Column], rows: Sequence[Facts], *, gives: Sequence[str] = ()
) -> None:
    """Print a line a row.

    Args:
        gives: titles of columns that are cut first where room is short.
    """
    table = Table()
    for title, _ in titles:
        justify: JustifyMethod = "right" if "/" in title else "left"
        table.add_column(printable_lines(title), overflow="ellipsis", no_wrap=title not in gives, justify=justify)
    for row in rows:
        table.add_row(*(Text(printable(cell(row)), no_wrap=True, overflow="ellipsis") for _, cell in titles))
    console.print(table)


def write_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows and facts to standard output; numbers read back to the same bits, what is not there is empty."""
    write = csv_begun(columns(rows))
    for row in rows:
        write(row)


def csv_begun(names: Sequence[str]) -> Callable[[Mapping[str, Any]], None]:
    """Write the names of columns to standard output; what writes a row below them."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_text, names))

    def write(row: Mapping[str, Any]) -> None:
        writer.writerow([csv_cell(row.get(name)) for name in names])

    return write


def write_json(found: Mapping[str, Any]) -> None:
    """The same as JSON."""
    json.dump(found, sys.stdout, indent=2, allow_nan=False)
    print()


def csv_cell(value: Any) -> str:
    """Numbers read back to the same bits; what is not there is empty; text is no formula."""
    if value is None:
        return ""
    return csv_text(value) if isinstance(value, str) else json.dumps(value)
