"""metrics.csv: one row an epoch, each number in a form that reads back to the same bits."""

import math
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger

from copycat.runs.disk import Disk
from copycat.runs.folder import write_whole
from copycat.runs.plain import read_file

FILE = "metrics.csv"
MOST = 2**28
"""Bytes of it, at most, where it is read for a command."""
MOST_ROWS = 2**22
LONGEST = 2**16
"""Bytes of a row, at most."""
KNOWN = 20_000
"""Scores whose text is kept."""


_scores: dict[float, str] = {}


def _cells(values: Sequence[float | None], *, is_loss: bool) -> list[str]:
    """Their texts, which take longer to make than to find: scores of so many images are few, and come again and again,
    where hardly a loss does.
    """
    if is_loss:
        return ["" if value is None else repr(value) for value in values]
    found = _scores.get
    return ["" if value is None else found(value) or _text(value) for value in values]


def _text(score: float) -> str:
    text = repr(score)
    if len(_scores) < KNOWN and score:  # 0.0 and -0.0 would be one
        _scores[score] = text
    return text


class History(Logger):
    """Appends each epoch's row to a run folder's metrics.csv.

    Args:
        columns: names of the metrics; a metric that an epoch lacks leaves its cell empty.
        disk: sees that what was written outlives a loss of power.
    """

    def __init__(self, folder: Path, columns: Sequence[str], disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.columns = list(columns)
        self._path = folder / FILE
        self._open: TextIO | None = None

    @property
    def name(self) -> None:
        return None

    @property
    def version(self) -> None:
        return None

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """They lie in config.yaml."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if metrics.keys() & set(self.columns):  # else a callback's own, a learning rate say: for the other loggers
            self.log_epochs(step or 0, [metrics])

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Append the rows of consecutive epochs."""
        if not rows:
            return
        columns = [_cells([row.get(name) for row in rows], is_loss="loss" in name) for name in self.columns]
        epochs = map(str, range(first, first + len(rows)))
        self._file.write("\n".join(map(",".join, zip(epochs, *columns, strict=True))) + "\n")

    def save(self) -> None:
        """See that what was written outlives a loss of power, before anything that is written later."""
        self._file.flush()
        self.disk.later(partial(_sync, self._path))

    def purge(self, epoch: int) -> None:
        """Drop the rows of that epoch and later ones, for a run that goes on from there, with the columns it has."""
        if epoch == 0:
            self._path.unlink(missing_ok=True)
            return
        header, *lines = _whole_lines(self._path.read_bytes())
        self.columns = header.split(",")[1:]
        kept = [header, *(line for line in lines if int(line.partition(",")[0]) < epoch)]
        write_whole(self._path, ("\n".join(kept) + "\n").encode())

    @property
    def _file(self) -> TextIO:
        if self._open is None:
            self._open = self._path.open("a", encoding="utf-8", buffering=1)  # a row is whole once it is written
            if self._open.tell() == 0:
                self._open.write(",".join(["epoch", *self.columns]) + "\n")
        return self._open

    def finalize(self, status: str) -> None:
        """Close the file, without a row that was cut short; a later row opens it again."""
        file, self._open = self._file, None
        try:
            file.close()
        finally:
            with self._path.open("rb+") as written:
                start = written.seek(max(0, self._path.stat().st_size - LONGEST))
                end = written.read()
                if not end.endswith(b"\n"):
                    written.truncate(start + end.rfind(b"\n") + 1)


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
    header, *lines = _whole_lines(content) or [""]
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(content: bytes) -> list[str]:
    """The lines of a file, but for one that was cut short as it was written."""
    return content[: content.rfind(b"\n") + 1].decode().splitlines()


def history_digest(content: bytes) -> str:
    """Hash of what metrics.csv holds: equal where two runs recorded the same bits."""
    return blake2b(content, digest_size=16).hexdigest()
