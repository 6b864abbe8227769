"""The progress bar of a run, on a terminal or in a notebook."""

import sys
import time
from typing import Any, cast

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from copycat.data.progress import make_progress
from copycat.models.classifier import Classifier
from copycat.training.hook_compatibility import MultiStepCallback

UPDATE_SECONDS = 0.1
"""Seconds between two updates: an update costs more than a step."""


class ProgressBar(MultiStepCallback):
    """Show completed epochs, remaining time and the last loss, on a terminal or in a notebook."""

    draws = True
    """Draws on the terminal: a sweep leaves it out, since it has its own display."""

    def __init__(self) -> None:
        """Start without a bar: training draws it."""
        self._bar: Progress | None = None
        self._due = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar."""
        self._bar = make_progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("loss {task.fields[loss]}"),
            redirect_stdout=sys.stdout.isatty(),
            auto_refresh=False,
        )
        if self._bar is not None:
            self._bar.add_task("train", total=trainer.max_epochs, loss="–")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar after a step."""
        done = trainer.current_epoch + (batch_idx + 1) / max(1, int(trainer.num_training_batches))
        self.on_progress(int(done), cast(Classifier, pl_module).train_metrics.last_loss)

    def on_progress(self, epochs: int, loss: Tensor) -> None:
        """Redraw the bar with the completed epochs and the last step's loss, if it is due."""
        now = time.monotonic()
        if self._bar is not None and now >= self._due:
            self._due = now + UPDATE_SECONDS
            self._redraw(self._bar, epochs, loss)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Redraw the bar a last time, and remove it from a terminal."""
        loss = trainer.callback_metrics.get("train/loss")
        if self._bar is not None and loss is not None:
            self._redraw(self._bar, trainer.current_epoch, loss)
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Remove the bar."""
        self._stop()

    def _redraw(self, bar: Progress, epochs: int, loss: Tensor) -> None:
        bar.update(bar.task_ids[0], completed=epochs, loss=f"{loss:.6f}", refresh=True)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
