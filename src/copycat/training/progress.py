"""Represent training progress in whole epochs and batches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """Represent a point of training between two batches."""

    epoch: int
    """Number of completed epochs."""
    batch: int = 0
    """Number of completed batches of the next epoch."""

    def __str__(self) -> str:
        """Return epoch and batch, as messages print them."""
        return f"epoch {self.epoch}, batch {self.batch}" if self.batch else f"epoch {self.epoch}"
