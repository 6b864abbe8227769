"""End a run between two epochs or steps, at a time limit or by a pruner."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytorch_lightning as pl

from copycat.training.checkpoints import LastCheckpoint
from copycat.training.hook_compatibility import MultiStepCallback

Pruner = Callable[[int, Mapping[str, float]], str | None]
"""Takes an epoch and its metrics after each validation; returns the reason to end the run, or None."""


class PrunedRun(Exception):  # noqa: N818, a verdict, not an error
    """Report that a pruner ended the run, with its reason."""


class TimeLimitError(Exception):
    """Report that the run reached its time limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Hold the limits of a sweep's trial."""

    seconds: float | None = None
    """Maximum duration, including the time before a resume."""
    pruner: Pruner | None = None
    quiet: bool = False
    """Whether to leave out callbacks that draw on the terminal."""
    metrics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of metrics that the run must have, by the keys that name them."""


class Limiter(MultiStepCallback):
    """End a run that reaches its limits."""

    def __init__(self, limits: Limits, last: LastCheckpoint) -> None:
        """Take the limits, and the checkpoint callback that counts seconds."""
        self.limits, self.last = limits, last

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the pruner about the previous epoch, whose records are complete here, also after a resume."""
        done = trainer.current_epoch
        if self.limits.pruner is None or done == 0 or done % (trainer.check_val_every_n_epoch or 1):
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if why := self.limits.pruner(done - 1, metrics):
            raise PrunedRun(why)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: object) -> None:
        """Raise TimeLimitError where the run took too long."""
        limit = self.limits.seconds
        if limit is not None and self.last.seconds > limit:
            raise TimeLimitError(f"time limit: it took more than {limit:g} s")
