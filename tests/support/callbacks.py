"""Callbacks that interrupt or delay a run."""

import gc
import time
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter


class SimulatedKill(BaseException):
    """End a run as a kill would: no handler catches it."""


class KillCallback(pl.Callback):
    """Raise SimulatedKill in a hook after a number of optimizer steps.

    A test sets `after`, (hook, steps), on the class, so that it is not part of the run's configuration.
    """

    after: ClassVar[tuple[str, int] | None] = None

    def _kill_if_due(self, hook: str, trainer: pl.Trainer) -> None:
        if self.after == (hook, trainer.global_step):
            raise SimulatedKill

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("batch", trainer)

    def on_validation_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("validation", trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("epoch", trainer)

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("end", trainer)


def end_loader_workers() -> None:
    """End the workers of loaders that a simulated kill left: to collect them waits for five seconds each."""
    for found in gc.get_objects():
        # by its type: a proxy of torch's compiler asks an object that may be gone
        if issubclass(type(found), _MultiProcessingDataLoaderIter):
            found._shutdown_workers()


class SleepCallback(pl.Callback):
    """Delay the validation of one epoch by five minutes."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch and trainer.state.fn == "fit":
            time.sleep(300)


class FailOnFold(pl.Callback):
    """Raise an error in a run with a learning rate, where its data are folds."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if rate == self.rate and len(trainer.datamodule.parts["train"]) < 24:  # type: ignore[attr-defined]
            raise ValueError("no more")


class LosesCtrlC(pl.Callback):
    """Lose Ctrl-C as it is made, as a library does whose `finally` uses what its `try` had not assigned yet."""

    def __init__(self, *, in_training: bool = False) -> None:
        """Lose it now, or in training."""
        self.in_training = in_training
        if not in_training:
            self._lose()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Lose it here."""
        if self.in_training:
            self._lose()

    def _lose(self) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("cannot access local variable 'old'")
