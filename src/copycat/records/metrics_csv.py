"""Read metrics.csv: one row per epoch, each number in a form that reads back to the same bits."""

import math
from hashlib import blake2b
from pathlib import Path

from copycat.records.safe_parsers import naming_file, read_file

FILE = "metrics.csv"
MAX_ROWS = 2**22


def read_history(folder: Path, *, having: str | None = None) -> list[dict[str, float]]:
    """Read the rows of metrics.csv, or those that have one metric, with `epoch` among their keys; omit empty cells.

    Raises:
        DamagedFileError: where the file cannot be read, is invalid or too large.
        FileNotFoundError: where it is missing.
    """
    with naming_file(folder / FILE, "the metrics of a run, in one row per epoch"):
        content = read_file(folder / FILE)
        if (count := content.count(b"\n")) > MAX_ROWS:
            raise ValueError(f"it has {count} lines, more than {MAX_ROWS}")
        rows = parse_rows(content, having=having)
        if not all(row.get("epoch", math.nan).is_integer() for row in rows):
            raise ValueError("a row has no epoch")
    return rows


def read_columns(folder: Path) -> list[str]:
    """Return the names of the metrics in the header of metrics.csv."""
    header = read_file(folder / FILE).partition(b"\n")[0]
    return header.decode(errors="replace").split(",")[1:]


def parse_rows(content: bytes, *, having: str | None = None) -> list[dict[str, float]]:
    """Parse the content of a metrics.csv; `having` as for `read_history`."""
    header, *lines = complete_lines(content) or [""]
    names = header.split(",")  # names and numbers need no quotes
    if having is not None and having not in names:
        return []
    place = 0 if having is None else names.index(having)
    lacking = "," * (len(names) - place)  # skips most epochs without validation before splitting
    rows = [line.split(",") for line in lines if not line.endswith(lacking)]
    return [
        {name: float(cell) for name, cell in zip(names, cells, strict=False) if cell}
        for cells in rows
        if place < len(cells) and cells[place]
    ]


def count_epochs(folder: Path) -> int:
    """Count the rows of metrics.csv."""
    return max(0, read_file(folder / FILE).count(b"\n") - 1)


def complete_lines(content: bytes) -> list[str]:
    """Return the complete lines of a file, without a last one that was cut short as it was written."""
    return content[: content.rfind(b"\n") + 1].decode().splitlines()


def digest_rows(folder: Path, epochs: int) -> str | None:
    """Hash the header and the first rows of metrics.csv, one per epoch; return None where it has fewer."""
    path = folder / FILE
    content = path.read_bytes().replace(b"\r", b"") if path.exists() else b""  # Windows adds them to new rows
    end = content.find(f"\n{epochs},".encode())  # faster than to split all lines, before each checkpoint
    rows = content[: (content.rfind(b"\n") if end < 0 else end) + 1]
    return history_digest(rows) if epochs and rows.count(b"\n") > epochs else None


def history_digest(content: bytes) -> str:
    """Hash the content of metrics.csv: equal where two runs recorded the same bits."""
    return blake2b(content, digest_size=16).hexdigest()
