"""The progress bar of a run, on standard error."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from copycat.training.hook_compatibility import MultiStepCallback

UPDATE_SECONDS = 0.1
"""Seconds between two updates: an update costs more than a step."""


class ProgressBar(MultiStepCallback):
    """Show completed epochs, remaining time and the last loss; draw nothing where standard error is no terminal."""

    draws = True
    """Draws on the terminal: a sweep leaves it out, since it has its own display."""

    def __init__(self) -> None:
        """Start without a bar: training draws it."""
        self._bar: Progress | None = None
        self._due = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar where standard error is a terminal."""
        console = Console(stderr=True)
        if not console.is_terminal:
            return
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]}"),
        )
        self._bar = Progress(
            *columns, console=console, redirect_stdout=sys.stdout.isatty(), transient=True, auto_refresh=False
        )
        self._bar.add_task("train", total=trainer.max_epochs, loss="–")
        self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar after a step."""
        done = trainer.current_epoch + (batch_idx + 1) / max(1, int(trainer.num_training_batches))
        self.on_progress(int(done), outputs["loss"])

    def on_progress(self, epochs: int, loss: Tensor) -> None:
        """Redraw the bar with the completed epochs and the last step's loss, if it is due."""
        now = time.monotonic()
        if self._bar is None or now < self._due:
            return
        self._due = now + UPDATE_SECONDS
        self._bar.update(self._bar.task_ids[0], completed=epochs, loss=f"{loss:.6f}")
        self._bar.refresh()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
