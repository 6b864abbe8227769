"""metrics.csv: one row an epoch, each number in a form that reads back to the same bits."""

import math
from hashlib import blake2b
from pathlib import Path

from copycat.records.safe_parsers import read_file

FILE = "metrics.csv"
MOST = 2**28
"""Bytes of it, at most, where it is read for a command."""
MOST_ROWS = 2**22


def read_history(folder: Path, *, having: str | None = None) -> list[dict[str, float]]:
    """The rows of metrics.csv, `epoch` among their keys; a metric that an epoch lacks is left out.

    Args:
        having: only rows that have this metric.

    Raises:
        ValueError: where it is no such file, or too large.
        OSError: where it cannot be read.
    """
    try:
        content = read_file(folder / FILE, most=MOST)
        if (count := content.count(b"\n")) > MOST_ROWS:
            raise ValueError(f"it has {count} lines, more than {MOST_ROWS}")
        rows = rows_of(content, having=having)
        if not all(row.get("epoch", math.nan).is_integer() for row in rows):
            raise ValueError("a row has no epoch")
    except ValueError as error:
        raise ValueError(f"{FILE}: {error!s:.200}") from error
    return rows


def columns_of(folder: Path) -> list[str]:
    """Names of the metrics that metrics.csv has room for."""
    header = read_file(folder / FILE, most=MOST).partition(b"\n")[0]
    return header.decode(errors="replace").split(",")[1:]


def rows_of(content: bytes, *, having: str | None = None) -> list[dict[str, float]]:
    """The rows of a metrics.csv."""
    header, *lines = whole_lines(content) or [""]
    names = header.split(",")  # names and numbers: nothing that would be quoted
    if having is not None and having not in names:
        return []
    place = 0 if having is None else names.index(having)
    lacking = "," * (len(names) - place)  # of most rows all that is validated is empty: found without splitting them
    rows = [line.split(",") for line in lines if not line.endswith(lacking)]
    return [
        {name: float(cell) for name, cell in zip(names, cells, strict=False) if cell}
        for cells in rows
        if place < len(cells) and cells[place]
    ]


def epochs_of(folder: Path) -> int:
    """Rows of metrics.csv."""
    return max(0, read_file(folder / FILE, most=MOST).count(b"\n") - 1)


def whole_lines(content: bytes) -> list[str]:
    """Return the lines of a file, but for one that was cut short as it was written."""
    return content[: content.rfind(b"\n") + 1].decode().splitlines()


def history_digest(content: bytes) -> str:
    """Hash of what metrics.csv holds: equal where two runs recorded the same bits."""
    return blake2b(content, digest_size=16).hexdigest()
