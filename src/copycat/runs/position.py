"""Where a run stands, in the terms of Lightning's loops.

Lightning's own states depend on the hook that saved them, and some resume wrongly: from an epoch's last batch it skips
the end of that epoch, from the end of an epoch it skips a plateau scheduler's step. So a checkpoint is only written
where nothing is half done, before a batch or before an epoch, and its loops are said to be just there.
"""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl


@dataclass(frozen=True)
class Position:
    epoch: int
    """Epochs that are done."""
    batch: int = 0
    """Batches that are done of the next one."""

    def __str__(self) -> str:
        return f"epoch {self.epoch}, batch {self.batch}" if self.batch else f"epoch {self.epoch}"


def place(loops: dict[str, Any], position: Position) -> None:
    """Rewrite the state of the fit loop, as Lightning dumps it, to stand at a position."""
    fit = loops["fit_loop"]
    inside = position.batch > 0
    epochs, batches = fit["epoch_progress"], fit["epoch_loop.batch_progress"]
    for tracker in ("total", "current"):
        done = position.epoch
        begun = done + 1 if inside else done
        epochs[tracker] |= {"ready": begun, "started": begun, "processed": done, "completed": done}
    total = batches["total"]["completed"]
    batches["total"] = dict.fromkeys(batches["total"], total)
    batches["current"] = dict.fromkeys(batches["current"], position.batch)
    batches["is_last_batch"] = False
    fit["state_dict"]["combined_loader"] = [{"epoch": position.epoch, "given": position.batch}]


def of(trainer: pl.Trainer) -> Position:
    """Where a trainer stands before a batch, before an epoch, or at its end."""
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.current
    batches: Any = loop.epoch_loop.batch_progress.current
    inside = batches.ready > batches.processed  # a batch was fetched, and not trained on yet
    return Position(epochs.processed, batches.processed if inside else 0)
