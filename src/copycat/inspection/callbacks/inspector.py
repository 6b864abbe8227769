"""A callback that looks at a run and writes what it saw into its event files."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from torch import nn

from copycat.inspection.tensorboard.logger import TensorBoardLogger
from copycat.models.classifier import Classifier
from copycat.training.run_context import RunContext


class Inspector(pl.Callback):
    """Changes nothing, and draws no random number: a run with it has the bits of one without."""

    def supports_multi_step(self) -> bool:
        """Return true: it looks at whole epochs alone; in a pack, at the ends of trials."""
        return True

    def on_run_start(self, context: RunContext) -> None:
        """Look at the run before its first step."""

    def on_run_end(self, context: RunContext) -> None:
        """Look at it after the final weights were evaluated."""


class Measurer(Inspector):
    """Looks at some epochs too, evenly spread over the run.

    Args:
        points: epochs that it looks at, about.
    """

    def __init__(self, *, points: int) -> None:
        self.points = points
        self._every, self._last = 1, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.spread(trainer.max_epochs or 1)

    def spread(self, epochs: int) -> None:
        """Over a run of so many epochs."""
        self._every, self._last = max(1, epochs // self.points), epochs - 1

    def measures(self, epoch: int) -> bool:
        """Whether it looks at that epoch."""
        return epoch % self._every == 0 or epoch == self._last

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        if trainer.is_last_batch and self.measures(trainer.current_epoch):
            self.before_last_step(pl_module)

    def before_last_step(self, module: pl.LightningModule) -> None:
        """Look at the gradients of an epoch's last step, before they are clipped."""


def network_of(module: pl.LightningModule) -> nn.Module:
    assert isinstance(module, Classifier)
    return module.network


def boards(loggers: Sequence[Any]) -> list[TensorBoardLogger]:
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]
