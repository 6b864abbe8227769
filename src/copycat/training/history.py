"""Log metrics to metrics.csv."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger

from copycat.config.atomic_write import write_whole
from copycat.records.background_writer import BackgroundWriter
from copycat.records.metrics_csv import FILE, complete_lines

MAX_ROW_BYTES = 2**20  # maximum size of a row, in bytes
_cached_repr = lru_cache(20_000)(repr)
"""For scores: those of few images take few values, and none is -0.0, which would share the entry of 0.0."""


def _cells(values: Sequence[float | None], *, is_loss: bool) -> list[str]:
    text = repr if is_loss else _cached_repr  # losses hardly ever repeat
    return ["" if value is None else text(value) for value in values]


class MetricsCSVLogger(Logger):
    """Append each epoch's row to a run folder's metrics.csv; a metric that an epoch lacks leaves its cell empty."""

    def __init__(self, folder: Path, columns: Sequence[str], writer: BackgroundWriter) -> None:
        """Open no file: the first row does."""
        super().__init__()
        self.writer = writer
        self.columns = list(columns)
        self._path = folder / FILE
        self._open: TextIO | None = None

    name = version = None  # the file has one fixed name

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Ignore hyper-parameters: config.yaml holds them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append the row of one epoch; ignore metrics without a column."""
        if metrics.keys() & set(self.columns):  # others, such as learning rates, are for other loggers
            self.log_epochs(step or 0, [metrics])

    def log_epochs(self, first: int, rows: Sequence[Mapping[str, float]]) -> None:
        """Append the rows of consecutive epochs."""
        if not rows:
            return
        columns = [_cells([row.get(name) for row in rows], is_loss="loss" in name) for name in self.columns]
        epochs = map(str, range(first, first + len(rows)))
        self._file.write("\n".join(map(",".join, zip(epochs, *columns, strict=True))) + "\n")

    def save(self) -> None:
        """Flush the rows to disk, before anything that is written later."""
        self._file.flush()
        self.writer.submit(partial(_sync, self._path))

    def purge(self, epoch: int) -> None:
        """Drop the rows from this epoch on, for a run that resumes there, and take over the file's columns."""
        if epoch == 0:
            self._path.unlink(missing_ok=True)
            return
        header, *lines = complete_lines(self._path.read_bytes())
        self.columns = header.split(",")[1:]
        kept = [header, *(line for line in lines if int(line.partition(",")[0]) < epoch)]
        write_whole(self._path, ("\n".join(kept) + "\n").encode())

    @property
    def _file(self) -> TextIO:
        if self._open is None:
            self._open = self._path.open("a", encoding="utf-8", buffering=1)  # line buffering: rows are written whole
            if self._open.tell() == 0:
                self._open.write(",".join(["epoch", *self.columns]) + "\n")
        return self._open

    def finalize(self, status: str) -> None:
        """Close the file, without a last row that was cut short; a later row opens it again."""
        file, self._open = self._file, None
        try:
            file.close()
        finally:
            with self._path.open("rb+") as written:
                start = written.seek(max(0, self._path.stat().st_size - MAX_ROW_BYTES))
                end = written.read()
                if not end.endswith(b"\n"):
                    written.truncate(start + end.rfind(b"\n") + 1)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:  # Windows flushes no file that was opened to be read
        os.fsync(file.fileno())
