"""Print the report of `copycat data check`."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from copycat.config.printable import make_console, printable
from copycat.data.datamodule import DataModule
from copycat.data.quality import Check, Twin, check_data

SHOWN = 20
"""Largest number of lines of a list in a terminal; a file or a pipe gets all lines."""


def print_check(data: DataModule) -> None:
    """Print counts, class shares and colors of each part, duplicates, unreadable files and warnings."""
    found = check_data(data)
    console = make_console(soft_wrap=True)
    most = SHOWN if console.is_terminal else None
    console.print(_table(found), soft_wrap=False)
    for line in _lists(found, most=most):
        console.print(printable(line))
    for warning in found.warnings:
        console.print(f"warning: {printable(warning)}")
    console.print(f"fingerprint: {data.fingerprint()['all']}")


def _table(found: Check) -> Table:
    """Build a table with one column per part, so that many classes make it long and not wide."""
    table, parts = Table(), found.parts.values()
    for title in ("", *found.parts):
        table.add_column(printable(title), justify="right" if title else "left", overflow="fold")
    table.add_row("images", *(str(part.images) for part in parts))
    for label in found.parts["train"].counts:
        table.add_row(printable(label), *(f"{part.counts[label]} ({part.share(label):.0%})" for part in parts))
    table.add_section()
    table.add_row("brightness", *(f"{part.brightness:.1f}" for part in parts))
    channels = len(found.parts["train"].color)
    names = ("red", "green", "blue") if channels == 3 else [f"channel {place}" for place in range(channels)]
    for place, name in enumerate(names):
        table.add_row(name, *(f"{part.color[place]:.1f}" for part in parts))
    return table


def _lists(found: Check, *, most: int | None) -> Iterator[str]:
    lists = {
        "twice within a part": [_equation(twins) for twins in found.within],
        "twice across parts": [_equation(twins) for twins in found.across],
        "unreadable": found.unreadable,
    }
    for title, lines in lists.items():
        yield f"{title}: {len(lines)}"
        yield from _first(lines, most)
    if found.left_out:
        yield f"left out: {sum(one.files for one in found.left_out)}"
        yield from _first([str(one) for one in found.left_out], most)


def _equation(twins: Sequence[Twin]) -> str:
    """Join the names of equal images, with their part and class in brackets where these differ."""
    parts, labels = len({twin.part for twin in twins}) > 1, len({twin.label for twin in twins}) > 1
    differ = [", ".join([twin.part] * parts + [twin.label] * labels) for twin in twins]
    return " = ".join(twin.name + (f" ({more})" if more else "") for twin, more in zip(twins, differ, strict=True))


def _first(lines: Sequence[str], most: int | None) -> Iterator[str]:
    for line in lines[:most]:
        yield f"  {line}"
    if most is not None and len(lines) > most:
        yield f"  and {len(lines) - most} more: add | cat to see them all"
