"""Which epochs and steps a run's callbacks need to see, by the hooks that they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.models.classifier import Classifier

OF_STEPS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_before_zero_grad"),
)
OF_EPOCHS = ("on_train_epoch_start", "on_train_epoch_end")
OF_VALIDATION = (
    *("on_validation_start", "on_validation_end", "on_validation_epoch_start", "on_validation_epoch_end"),
    *("on_validation_batch_start", "on_validation_batch_end"),
)


@runtime_checkable
class GoesAlong(Protocol):
    """A callback that steps taken at once suit: they call its hooks where it needs them."""

    def goes_along(self) -> bool: ...


@dataclass(frozen=True)
class Watching:
    """What may be taken at once."""

    every: int
    """Epochs from one that a callback must see to the next; 0: it needs to see none."""
    validates: bool
    """Whether validation may go along too."""
    ours: Sequence[Any]
    """Callbacks whose hooks are called by those who take steps at once."""

    def sees(self, epoch: int) -> bool:
        return self.every > 0 and (epoch + 1) % self.every == 0


def watching(trainer: Any, data: DataModule, classifier: Classifier) -> Watching | str:
    """What a run's parts leave to steps at once; or in words, what needs to see each step."""
    made: Any = classifier.configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    if needed := _each_step(trainer, data, optimizer):
        return needed
    every, validates, ours = 0, isinstance(data.loader("val"), MemoryLoader), []
    period = trainer.check_val_every_n_epoch or 1
    if trainer.limit_val_batches != 1.0:
        validates = False
    for callback in trainer.callbacks:
        if isinstance(callback, GoesAlong) and callback.goes_along():
            ours.append(callback)
        elif name := _has(callback, OF_STEPS):
            return f"{type(callback).__name__}.{name}"
        elif type(callback) is EarlyStopping and callback._check_on_train_epoch_end is not True and period > 1:
            validates = False  # it looks at validations alone
        elif _has(callback, OF_EPOCHS):
            every = 1
        elif _has(callback, OF_VALIDATION):
            validates = False
    if isinstance(scheduler, ReduceLROnPlateau):
        validates = False  # it goes by what the Trainer's validation found
        every = every or (0 if str(classifier.monitor).startswith("val/") else 1)
    if not validates and not every:
        every = period
    return Watching(every, validates, ours)


def _each_step(trainer: Any, data: DataModule, optimizer: Optimizer) -> str | None:
    closure = signature(type(optimizer).step).parameters.get("closure")
    wanted = {
        "data that is decoded as it is needed": isinstance(data.loader("train", shuffle=data.shuffle), MemoryLoader),
        f"{type(optimizer).__name__}.step": closure is None or closure.default is not Parameter.empty,
        "trainer._target_": type(trainer) is pl.Trainer,
        "trainer.strategy": isinstance(trainer.strategy, SingleDeviceStrategy),
        "trainer.precision": trainer.precision == "32-true",
        "trainer.max_steps": trainer.max_steps == -1 and not trainer.min_steps,
        "trainer.max_epochs": trainer.max_epochs is not None and trainer.max_epochs > 0,
        "trainer.limit_train_batches": trainer.limit_train_batches == 1.0,
        "trainer.overfit_batches": trainer.overfit_batches == 0,
        "trainer.val_check_interval": trainer.val_check_interval == 1.0,
        "trainer.check_val_every_n_epoch": trainer.check_val_every_n_epoch is not None,
        "trainer.detect_anomaly": not trainer._detect_anomaly,
        "trainer.profiler": type(trainer.profiler).__name__ == "PassThroughProfiler",
    }
    return next((name for name, holds in wanted.items() if not holds), None)


def _has(callback: pl.Callback, hooks: Sequence[str]) -> str | None:
    """The first of these hooks that a callback has of its own."""
    return next((name for name in hooks if getattr(type(callback), name) is not getattr(pl.Callback, name)), None)
