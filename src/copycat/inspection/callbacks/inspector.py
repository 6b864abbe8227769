"""Base classes of callbacks that inspect a run and write to its event files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from copycat.inspection.tensorboard.logger import TensorBoardLogger
from copycat.training.hook_compatibility import MultiStepCallback
from copycat.training.run_context import RunContext


class Inspector(MultiStepCallback):
    """Inspect a run without changing it.

    It draws no random number: a run with an inspector has the same bits as one without.
    """

    observes = ()

    def on_run_start(self, context: RunContext) -> None:
        """Inspect the run before its first step."""

    def on_run_end(self, context: RunContext) -> None:
        """Inspect the run after the final weights were evaluated."""


@dataclass(kw_only=True, eq=False)
class Measurer(Inspector):
    """Measure some epochs too, evenly spread over the run."""

    points: int
    """Approximate number of measured epochs."""
    _every: int = field(default=1, init=False)
    _last: int = field(default=0, init=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Spread the measured epochs over the run."""
        self.spread(trainer.max_epochs or 1)

    def spread(self, epochs: int) -> None:
        """Spread the measured epochs over a run of `epochs` epochs."""
        self._every, self._last = max(1, epochs // self.points), epochs - 1

    def measures(self, epoch: int) -> bool:
        """Return whether an epoch is measured."""
        return epoch % self._every == 0 or epoch == self._last

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Call `before_last_step` before the last optimizer step of a measured epoch."""
        if trainer.is_last_batch and self.measures(trainer.current_epoch):
            self.before_last_step(pl_module)

    def before_last_step(self, module: pl.LightningModule) -> None:
        """Inspect the gradients of an epoch's last step, before they are clipped."""


@runtime_checkable
class SummaryLogger(Protocol):
    """Show images and scalars that belong to no stage: TensorBoard and trackers."""

    def write(self, summary: Summary, step: int = 0) -> None:
        """Show the images of a summary, and what else the logger can."""

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars of an epoch, before its metrics."""

    def log_table(self, tags: Sequence[str], values: NDArray[np.float32], *, steps: Sequence[int]) -> None:
        """Log scalars of several epochs, [epochs, tags], before their metrics."""


def summary_loggers(loggers: Sequence[Any]) -> list[SummaryLogger]:
    """Return the loggers that show images and scalars."""
    return [logger for logger in loggers if isinstance(logger, SummaryLogger)]


def tensorboard_loggers(loggers: Sequence[Any]) -> list[TensorBoardLogger]:
    """Return the TensorBoard loggers among all loggers."""
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]
