"""Callbacks that end a run as a kill would, or hold it up."""

import time
from typing import Any, ClassVar

import pytorch_lightning as pl


class Killed(BaseException):
    """Nobody catches it."""


class Dies(pl.Callback):
    """Dies in a hook, once so many optimizer steps are made; `after` is set by a test, and not part of the run."""

    after: ClassVar[tuple[str, int] | None] = None

    def _perhaps(self, hook: str, trainer: pl.Trainer) -> None:
        if self.after == (hook, trainer.global_step):
            raise Killed

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._perhaps("batch", trainer)

    def on_validation_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._perhaps("validation", trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self._perhaps("epoch", trainer)

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._perhaps("end", trainer)


class Sleeps(pl.Callback):
    """Makes the validation of one epoch take minutes."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch and trainer.state.fn == "fit":
            time.sleep(300)
