"""Training progress, in whole epochs and batches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """The point that training has reached."""

    epoch: int
    """Epochs that are done."""
    batch: int = 0
    """Batches that are done of the next one."""

    def __str__(self) -> str:
        return f"epoch {self.epoch}, batch {self.batch}" if self.batch else f"epoch {self.epoch}"
