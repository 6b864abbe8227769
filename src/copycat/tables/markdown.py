"""Render a table as Markdown, in the dialect of GitHub."""

import re
from collections.abc import Iterator, Sequence

from copycat.config.printable import printable
from copycat.tables.paper_table import PaperCell, PaperTable, group_by_runs

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$!]")
ARROWS = {"minimize": " ↓", "maximize": " ↑", None: ""}


def escape(text: str) -> str:
    """Escape a text for a cell: on one line, and without markup."""
    return _SPECIAL.sub(r"\\\g<0>", printable(text))


def render_markdown(table: PaperTable) -> Iterator[str]:
    """Yield the lines of a table, its notes, and the runs of each row with the beginnings of their digests."""
    titles = [escape(title) for title in table.row_titles]
    titles += [escape(title) + ARROWS[direction] for title, direction in table.column_titles]
    yield _line([*titles, "runs below"])
    yield _line([":--"] * len(table.row_titles) + ["--:"] * len(table.column_titles) + ["--:"])
    for number, (labels, cells) in enumerate(table.rows, start=1):
        yield _line([*map(escape, labels), *map(_cell, cells), str(number)])
    yield ""
    yield " ".join(map(escape, table.notes))
    yield ""
    for number, (_, cells) in enumerate(table.rows, start=1):
        for names, runs in group_by_runs(table, cells):
            columns = f" {escape(' and '.join(names))}:" if len(names) < len(table.column_titles) else ""
            named = ", ".join(f"`{run.digest}` {escape(run.row['folder'])}" for run in runs)
            yield f"- runs {number}:{columns} {named}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: PaperCell) -> str:
    text = escape(cell.text)
    return f"**{text}**" if cell.is_best else text + " †" * cell.is_close
