"""Write rows to standard output as a table, CSV or JSON."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from copycat.config.printable import csv_text, make_console, printable, printable_lines
from copycat.tables.run_row import RunRow, column_names
from copycat.tables.statistics import format_number

WIDE_COLUMNS = 140
"""Width of a terminal, in characters, from which all columns are shown."""
Column = tuple[str, Callable[[RunRow], str]]
"""The title of a column, and the formatter of its cells."""


def status_cell(rows: Sequence[RunRow]) -> Callable[[RunRow], str]:
    """Return the formatter of a run's status, which marks reruns, and drawn images where other rows have photos."""
    some_photos = any(row["synthetic"] is False for row in rows)

    def cell(row: RunRow) -> str:
        marks = ["rerun"] * bool(row.get("copy_of")) + ["drawn"] * bool(row["synthetic"] and some_photos)
        return f"{row['status']} ({', '.join(marks)})" if marks else str(row["status"])

    return cell


def status_notes(rows: Sequence[RunRow]) -> Iterator[str]:
    """Explain the marks of `status_cell`, and say where all images are drawn."""
    if any(row.get("copy_of") for row in rows):
        yield "(rerun): a copy that copycat rerun made"
    if any(row["synthetic"] for row in rows):
        mark = "(drawn): " if any(row["synthetic"] is False for row in rows) else ""
        yield f"{mark}trained on drawn images, not on photos"


def format_seconds(row: RunRow) -> str:
    """Format a run's duration in seconds."""
    return "–" if row["seconds"] is None else f"{row['seconds']:.1f}"


def format_interval(row: RunRow) -> str:
    """Format the 95 % interval of the validation accuracy, where the number of images is known."""
    return f"{row['accuracy_low']:.2f} to {row['accuracy_high']:.2f}" if "accuracy_low" in row else ""


def format_majority(row: RunRow) -> str:
    """Format the accuracy of always predicting the most frequent class of the validation images."""
    return "" if row.get("majority") is None else format_number(row["majority"])


def metric_cell(name: str) -> Callable[[RunRow], str]:
    """Return the formatter of a measured value."""
    return lambda row: format_number(row.get(name))


def value_cell(name: str) -> Callable[[RunRow], str]:
    """Return the formatter of an input value; a value drawn by a sampler gets six digits."""

    def cell(row: RunRow) -> str:
        value = row.get(name, "–")
        return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 12 else printable(value)

    return cell


def wide_console() -> Console:
    """Return a console on standard output; in a pipe, which has no width, each run keeps to one line."""
    return make_console(width=None if os.isatty(1) else 400)


def print_table(
    console: Console, titles: Sequence[Column], rows: Sequence[RunRow], *, shrinkable: Sequence[str] = ()
) -> None:
    """Print one line per row; where space is short, shorten the columns of the shrinkable titles first."""
    heads = [printable_lines(title) for title, _ in titles]
    columns = [[printable(cell(row)) for row in rows] for _, cell in titles]
    widths = [_width([*head.split("\n"), *column]) for head, column in zip(heads, columns, strict=True)]
    if rows and sum(widths) + 3 * len(widths) + 1 <= console.width:
        _print_fitting(console, heads, columns, widths)
    else:
        rows_of_cells = [*zip(*columns, strict=True)]
        console.print(_make_table(heads, rows_of_cells, shrinkable=[*map(printable_lines, shrinkable)]))


def _make_table(heads: Sequence[str], cells: Sequence[Sequence[str]], *, shrinkable: Sequence[str] = ()) -> Table:
    table = Table()
    for head in heads:
        justify: JustifyMethod = "right" if _is_right(head) else "left"
        table.add_column(head, overflow="ellipsis", no_wrap=head not in shrinkable, justify=justify)
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    return table


def _is_right(head: str) -> bool:
    return "/" in head


def _print_fitting(
    console: Console, heads: Sequence[str], columns: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    """Print a table that fits as rich prints it, which takes a millisecond for each row: it prints only the frame."""
    with console.capture() as capture:
        console.print(_make_table(heads, [["x" * width for width in widths]]))
    *top, ruler, bottom = capture.get().splitlines(keepends=True)
    bar = ruler[0]
    padded = [
        _pad(column, width, right=_is_right(head)) for head, column, width in zip(heads, columns, widths, strict=True)
    ]
    lines = map(f" {bar} ".join, zip(*padded, strict=True))
    console.file.write("".join([*top, *(f"{bar} {line} {bar}\n" for line in lines), bottom]))


def _width(texts: Sequence[str]) -> int:
    """Return the width of the widest text on a terminal."""
    return max(map(len if all(map(str.isascii, texts)) else cell_len, texts))


def _pad(texts: Sequence[str], width: int, *, right: bool) -> list[str]:
    if right:
        texts = [text.rstrip() for text in texts]
    widths = [width - cell_len(text) + len(text) if not text.isascii() else width for text in texts]
    return [*map(str.rjust if right else str.ljust, texts, widths)]


def write_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows and columns to standard output; numbers read back to the same bits, missing values are empty."""
    write = start_csv(column_names(rows))
    for row in rows:
        write(row)


def start_csv(names: Sequence[str]) -> Callable[[Mapping[str, Any]], None]:
    """Write the header to standard output and return a function that writes a row below it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(csv_text, names))

    def write(row: Mapping[str, Any]) -> None:
        writer.writerow([csv_cell(row.get(name)) for name in names])

    return write


def write_json(content: Mapping[str, Any]) -> None:
    """Write an object as JSON to standard output."""
    json.dump(content, sys.stdout, indent=2, allow_nan=False)
    print()


def csv_cell(value: Any) -> str:
    """Format a value for CSV: numbers read back to the same bits, missing values are empty, text is never a formula."""
    if value is None:
        return ""
    return csv_text(value) if isinstance(value, str) else json.dumps(value)
