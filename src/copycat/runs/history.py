"""metrics.csv: one row an epoch, each number in a form that reads back to the same bits."""

import csv
from argparse import Namespace
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning.loggers import Logger

FILE = "metrics.csv"


class History(Logger):
    """Appends each epoch's row to a run folder's metrics.csv.

    Args:
        columns: names of the metrics; a metric that an epoch lacks leaves its cell empty.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        super().__init__()
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
        if not metrics.keys() & set(self.columns):  # a callback's own, a learning rate say: for the other loggers
            return
        cells = [repr(metrics[name]) if name in metrics else "" for name in self.columns]
        self._file.write(",".join([str(step), *cells]) + "\n")

    @property
    def _file(self) -> TextIO:
        if self._open is None:
            self._open = self._path.open("a", encoding="utf-8", buffering=1)  # a row is whole once it is written
            if self._open.tell() == 0:
                self._open.write(",".join(["epoch", *self.columns]) + "\n")
        return self._open

    def finalize(self, status: str) -> None:
        """Close the file; a later row opens it again."""
        self._file.close()
        self._open = None


def read_history(folder: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv, `epoch` among their keys; a metric that an epoch lacks is left out."""
    with (folder / FILE).open(encoding="utf-8", newline="") as file:
        return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def history_digest(folder: Path) -> str:
    """Hash of metrics.csv: equal where two runs recorded the same bits."""
    return blake2b((folder / FILE).read_bytes(), digest_size=16).hexdigest()
