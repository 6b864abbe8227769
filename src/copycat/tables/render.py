"""Write rows to standard output as a table, CSV or JSON."""

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from copycat.config.printable import csv_text, make_console, printable, printable_lines
from copycat.tables.run_row import RunRow, column_names
from copycat.tables.statistics import format_number

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables of the environment by which rich takes any output for a terminal."""
WIDE_COLUMNS = 140
"""Width of a terminal, in characters, from which all columns are shown."""
PIPE_COLUMNS = 400
"""Width of a pipe, in which each run keeps to one line."""
MIN_WIDTH = 4
"""Width to which a column is cut, at least."""
_NUMBER = re.compile(r"\s*[-+]?\d[\d.]*(e[-+]?\d+)?%?(\s|$)")
"""The start of a cell that begins with a number."""
Column = tuple[str, Callable[[RunRow], str]]
"""The title of a column, and the formatter of its cells."""


def status_cell(rows: Sequence[RunRow]) -> Callable[[RunRow], str]:
    """Return the formatter of a run's status, which marks reruns, and drawn images where other rows have photos."""
    some_photos = any(row["synthetic"] is False for row in rows)

    def cell(row: RunRow) -> str:
        if not (row.get("copy_of") or (some_photos and row["synthetic"])):
            return str(row["status"])
        marks = ["rerun"] * bool(row.get("copy_of")) + ["drawn"] * bool(row["synthetic"] and some_photos)
        return f"{row['status']} ({', '.join(marks)})"

    return cell


def status_notes(rows: Sequence[RunRow]) -> Iterator[str]:
    """Explain the marks of `status_cell`, and note where all images are synthetic."""
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
        if type(value) is int:
            return str(value)
        return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 12 else printable(value)

    return cell


class Pipe(NamedTuple):
    """Stand for a console on a standard output that is no terminal, for which rich need not be imported."""

    width: int = PIPE_COLUMNS


def wide_console() -> "Console | Pipe":
    """Return a console on standard output, or a pipe where rich would print to it without styles."""
    is_terminal = os.isatty(1) or sys.stdout.isatty() or not os.environ.keys().isdisjoint(TERMINAL_VARIABLES)
    has_lines = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    if is_terminal or not has_lines or sys.platform == "win32":
        return make_console(width=None if os.isatty(1) else PIPE_COLUMNS)
    return Pipe()


def print_table(
    console: "Console | Pipe", titles: Sequence[Column], rows: Sequence[RunRow], *, shrinkable: Sequence[str] = ()
) -> None:
    """Print one line per row; where space is short, shorten the columns of the shrinkable titles first.

    Texts are cut, but no number, since its first digits read as another one: columns without room are left out.
    """
    heads = [printable_lines(title) for title, _ in titles]
    columns = [_printable_cells([*map(cell, rows)]) for _, cell in titles]
    widths = [_width([*head.split("\n"), *column]) for head, column in zip(heads, columns, strict=True)]
    first = [place for place, (title, _) in enumerate(titles) if title in shrinkable]
    room = console.width - 3 * len(widths) - 1
    least = widths if sum(widths) <= room else [*map(_least_width, widths, columns)]
    shown = _choose_columns(least, console.width, shrinkable=first)
    if len(shown) < len(titles):
        print_table(console, [titles[place] for place in shown], rows, shrinkable=shrinkable)
        names = [head.replace("\n", " ") for place, head in enumerate(heads) if place not in shown]
        _rich_console(console).print(f"no room for: {', '.join(names)}", markup=False)
        return
    fitted = _fit_widths(widths, room, least=least, shrinkable=first)
    if rows and fitted == widths:
        frame = _draw_frame(heads, widths) if isinstance(console, Pipe) else _capture_frame(console, heads, widths)
        file = sys.stdout if isinstance(console, Pipe) else console.file
        file.write("".join(_fill_frame(frame, heads, columns, widths)))
        return
    _rich_console(console).print(_make_table(heads, [*zip(*columns, strict=True)], fitted))


def _rich_console(console: "Console | Pipe") -> "Console":
    return make_console(width=console.width) if isinstance(console, Pipe) else console


def _least_width(width: int, cells: Sequence[str]) -> int:
    """Return the width of a column in which each word of its numbers has room."""
    return max(
        [min(width, MIN_WIDTH), *(_cell_len(word) for cell in cells if _NUMBER.match(cell) for word in cell.split())]
    )


def _choose_columns(least: Sequence[int], width: int, *, shrinkable: Sequence[int]) -> list[int]:
    """Leave out columns until the others have room: the last shrinkable one first, never the one that names the row."""
    chosen = [*range(len(least))]
    while len(chosen) > 1 and sum(least[place] for place in chosen) > width - 3 * len(chosen) - 1:
        chosen.remove(next((place for place in reversed(chosen) if place in shrinkable and place), chosen[-1]))
    return chosen


def _fit_widths(widths: Sequence[int], room: int, *, least: Sequence[int], shrinkable: Sequence[int]) -> list[int]:
    """Cut the widest columns until all fit: the shrinkable ones first, the first one, which names the row, last."""
    fitted, every = [*widths], range(len(widths))
    for places, floor in ((shrinkable, MIN_WIDTH), (every[1:], 8), (every, 1)):
        while sum(fitted) > room and (wide := [place for place in places if fitted[place] > max(floor, least[place])]):
            fitted[max(wide, key=fitted.__getitem__)] -= 1
    return fitted


def _printable_cells(cells: Sequence[str]) -> Sequence[str]:
    return cells if all(map(str.isascii, cells)) and all(map(str.isprintable, cells)) else [*map(printable, cells)]


def _make_table(heads: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> "Table":
    from rich.table import Table

    table = Table()
    for head, width in zip(heads, widths, strict=True):
        justify: JustifyMethod = "right" if _is_right(head) else "left"
        table.add_column(head, overflow="ellipsis", no_wrap=True, justify=justify, width=width)
    for row in cells:
        table.add_row(*(_make_cell(cell) for cell in row))
    return table


def _make_cell(text: str) -> "Text":
    """Make a cell that is cut where it is too wide, or wrapped where it begins with a number."""
    from rich.text import Text

    if _NUMBER.match(text):
        return Text(text, no_wrap=False, overflow="fold")
    return Text(text, no_wrap=True, overflow="ellipsis")


def _is_right(head: str) -> bool:
    return "/" in head


def _capture_frame(console: "Console", heads: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a table with one row that fits, as rich prints them, which takes a millisecond a row."""
    with console.capture() as capture:
        console.print(_make_table(heads, [["x" * width for width in widths]], widths))
    return capture.get().splitlines(keepends=True)


def _draw_frame(heads: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines that `_capture_frame` returns without styles."""
    lines = [head.split("\n") for head in heads]
    height = max(map(len, lines))
    columns = [
        _pad([*[""] * (height - len(some)), *some], width, right=_is_right(head))
        for head, some, width in zip(heads, lines, widths, strict=True)
    ]
    titles = [f"┃ {' ┃ '.join(line)} ┃\n" for line in zip(*columns, strict=True)]
    top, ruler, bottom = (
        f"{left}{middle.join(line * (width + 2) for width in widths)}{right}\n"
        for left, line, middle, right in ("┏━┳┓", "┡━╇┩", "└─┴┘")
    )
    return [top, *titles, ruler, "│\n", bottom]


def _fill_frame(
    frame: Sequence[str], heads: Sequence[str], columns: Sequence[Sequence[str]], widths: Sequence[int]
) -> Iterator[str]:
    """Yield the lines of a table, whose frame has one row."""
    *top, ruler, bottom = frame
    bar = ruler[0]
    padded = [
        _pad(column, width, right=_is_right(head)) for head, column, width in zip(heads, columns, widths, strict=True)
    ]
    lines = map(f" {bar} ".join, zip(*padded, strict=True))
    yield from top
    yield from (f"{bar} {line} {bar}\n" for line in lines)
    yield bottom


def _width(texts: Sequence[str]) -> int:
    """Return the width of the widest text on a terminal."""
    return max(map(len if all(map(str.isascii, texts)) else _cell_len, texts))


def _cell_len(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _pad(texts: Sequence[str], width: int, *, right: bool) -> list[str]:
    if right:
        texts = [text.rstrip() for text in texts]
    widths = [width - _cell_len(text) + len(text) if not text.isascii() else width for text in texts]
    return [*map(str.rjust if right else str.ljust, texts, widths)]


def write_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows and columns to standard output; numbers read back to the same bits, missing values are empty."""
    write = start_csv(column_names(rows))
    for row in rows:
        write(row)


def start_csv(names: Sequence[str]) -> Callable[[Mapping[str, Any]], None]:
    """Write the header to standard output, unless it is empty, and return a function that writes a row below it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if names:
        writer.writerow(map(csv_text, names))

    def write(row: Mapping[str, Any]) -> None:
        writer.writerow([csv_cell(row.get(name)) for name in names])

    return write


def write_json(content: Mapping[str, Any]) -> None:
    """Write an object as JSON to standard output."""
    print(indent_json(content))


def indent_json(value: Any, *, depth: int = 0) -> str:
    """Encode as `json.dumps` with an indent of 2, but rows by its encoder in C, which supports no indent."""
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return json.dumps(value, allow_nan=False)
    line, end = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if not any(isinstance(one, (Mapping, list, tuple)) for one in inner):
        text = json.dumps(value, allow_nan=False, separators=(f",{line}", ": "))
        return f"{text[0]}{line}{text[1:-1]}{end}{text[-1]}"
    parts = [indent_json(one, depth=depth + 1) for one in inner]
    if isinstance(value, Mapping):
        parts = [f"{json.dumps(key)}: {part}" for key, part in zip(value, parts, strict=True)]
        return f"{{{line}{f',{line}'.join(parts)}{end}}}"
    return f"[{line}{f',{line}'.join(parts)}{end}]"


def csv_cell(value: Any) -> str:
    """Format a value for CSV: numbers read back to the same bits, missing values are empty, text is never a formula."""
    if value is None:
        return ""
    if isinstance(value, float) and isfinite(value):
        return float.__repr__(value)
    return _cached_csv_text(value) if isinstance(value, str) else json.dumps(value)


_cached_csv_text = lru_cache(4096)(csv_text)  # most texts are those of earlier rows
