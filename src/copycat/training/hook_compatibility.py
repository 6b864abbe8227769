"""Determine which epochs and steps a run's callbacks need to see, by the hooks that they have."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.models.classifier import Classifier
from copycat.training.lightning_internals import detects_anomalies, looks_at_validations_alone

STEP_HOOKS = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_before_zero_grad"),
)
EPOCH_HOOKS = ("on_train_epoch_start", "on_train_epoch_end")
VALIDATION_HOOKS = (
    *("on_validation_start", "on_validation_end", "on_validation_epoch_start", "on_validation_epoch_end"),
    *("on_validation_batch_start", "on_validation_batch_end"),
)

CHANGES_STEPS = (BatchSizeFinder, GradientAccumulationScheduler, LearningRateFinder, StochasticWeightAveraging)
"""Callbacks without step hooks that change the steps of Lightning's own loop."""


class MultiStepCallback(pl.Callback):
    """Support multi-step execution: the loop calls the hooks between steps, or does their work itself."""

    observes: Collection[str] | None = None
    """Metrics of a validation that its hooks at the ends of epochs read, where these change neither the network nor
    the optimizer; None: not known."""

    def supports_multi_step(self) -> bool:
        """Return whether it needs no hook of Lightning's own loop."""
        return True


@dataclass(frozen=True)
class Compatibility:
    """Hold the epochs that Lightning's hooks must be called for, and the callbacks that need none."""

    every: int
    """Period, in epochs, of those that all hooks must see; 0: none."""
    validates: bool
    """Whether the other epochs can be validated without Lightning."""
    callbacks: Sequence[Any]
    """Callbacks that support multi-step execution."""

    def sees(self, epoch: int) -> bool:
        """Return whether Lightning's hooks must be called for this epoch."""
        return self.every > 0 and (epoch + 1) % self.every == 0


def check_compatibility(trainer: Any, data: DataModule, classifier: Classifier) -> Compatibility | str:
    """Return how far a run can use multi-step execution, or the name of what needs each single step."""
    configured: Any = classifier.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    if needed := _needs_each_step(trainer, data, optimizer):
        return needed
    every, validates, supporting = 0, isinstance(data.loader("val"), MemoryLoader), []
    period = trainer.check_val_every_n_epoch or 1
    if not is_whole(trainer.limit_val_batches):
        validates = False
    for callback in trainer.callbacks:
        if hasattr(callback, "supports_multi_step") and callback.supports_multi_step():
            supporting.append(callback)
            continue
        if isinstance(callback, CHANGES_STEPS):
            return type(callback).__name__
        if name := _first_overridden(callback, STEP_HOOKS):
            return f"{type(callback).__name__}.{name}"
        if _first_overridden(callback, VALIDATION_HOOKS):
            validates = False
        of_validations = type(callback) is EarlyStopping and looks_at_validations_alone(callback) and period > 1
        if _first_overridden(callback, EPOCH_HOOKS) and not of_validations:
            every = 1
    if isinstance(scheduler, ReduceLROnPlateau):
        validates = False  # it needs the metrics of the Trainer's validation
        every = every or (0 if str(classifier.monitor).startswith("val/") else 1)
    if not validates and not every:
        every = period
    return Compatibility(every, validates, supporting)


def _needs_each_step(trainer: Any, data: DataModule, optimizer: Optimizer) -> str | None:
    closure = signature(type(optimizer).step).parameters.get("closure")
    wanted = {
        "data that is decoded as it is needed": isinstance(data.loader("train", shuffle=data.shuffle), MemoryLoader),
        f"{type(optimizer).__name__}.step": closure is None or closure.default is not Parameter.empty,
        "trainer._target_": type(trainer) is pl.Trainer,
        "trainer.strategy": isinstance(trainer.strategy, SingleDeviceStrategy),
        "trainer.precision": trainer.precision == "32-true",
        "trainer.max_steps": trainer.max_steps == -1 and not trainer.min_steps,
        "trainer.max_epochs": trainer.max_epochs is not None and trainer.max_epochs > 0,
        "trainer.limit_train_batches": is_whole(trainer.limit_train_batches),
        "trainer.overfit_batches": trainer.overfit_batches == 0,
        "trainer.val_check_interval": is_whole(trainer.val_check_interval),
        "trainer.check_val_every_n_epoch": trainer.check_val_every_n_epoch is not None,
        "trainer.detect_anomaly": not detects_anomalies(trainer),
        "trainer.profiler": type(trainer.profiler).__name__ == "PassThroughProfiler",
    }
    return next((name for name, holds in wanted.items() if not holds), None)


def is_whole(limit: float | None) -> bool:
    """Return whether a Trainer's limit is a whole epoch: 1.0 is all of its batches, and 1 a single one."""
    return limit == 1.0 and isinstance(limit, float)


def overrides(callback: pl.Callback, hook: str) -> bool:
    """Return whether a callback has a hook of its own, of its class or, as a LambdaCallback, of the instance."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(pl.Callback, hook)


def _first_overridden(callback: pl.Callback, hooks: Sequence[str]) -> str | None:
    return next((name for name in hooks if overrides(callback, name)), None)
