"""Write the metrics of consecutive epochs to loggers."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from copycat.models.metrics import Row


@runtime_checkable
class LogsEpochs(Protocol):
    """Define a logger that logs many epochs in one call."""

    def log_epochs(self, first: int, rows: Sequence[Row]) -> None:
        """Log the rows of consecutive epochs, the first of which is `first`."""


def log_rows(loggers: Iterable[Any], first: int, rows: Sequence[Row]) -> None:
    """Write the rows of consecutive epochs, the first of which is `first`, to the Trainer's loggers."""
    for logger in loggers:
        if isinstance(logger, LogsEpochs):
            logger.log_epochs(first, rows)
        else:
            for epoch, row in enumerate(rows, first):
                logger.log_metrics(row, step=epoch)
