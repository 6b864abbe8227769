"""What ends a run from outside, between two epochs or steps: a time limit, or a judge that has seen enough."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytorch_lightning as pl

from copycat.training.checkpoints import LastCheckpoint

Judge = Callable[[int, Mapping[str, float]], str | None]
"""Takes an epoch and its metrics after each validation; says why the run is to end, or None."""


class PrunedRun(Exception):  # noqa: N818, a verdict, not an error
    """A judge said so, for the reason given."""


class TimeLimitError(Exception):
    """The run took longer than it may."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """For a trial of a sweep.

    Args:
        seconds: that the run may take, those before a resume included.
        quiet: whether callbacks that draw on the terminal stay away.
        metrics: that the run must have, by the keys that name them.
    """

    seconds: float | None = None
    judge: Judge | None = None
    quiet: bool = False
    metrics: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Limiter(pl.Callback):
    """Holds a run against its limits."""

    def __init__(self, limits: Limits, last: LastCheckpoint) -> None:
        self.limits, self.last = limits, last

    def supports_multi_step(self) -> bool:
        """Return true: the loop calls its hooks between steps."""
        return True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the epoch before, here where all its records are whole, and a resumed run comes by again."""
        done = trainer.current_epoch
        if self.limits.judge is None or done == 0 or done % (trainer.check_val_every_n_epoch or 1):
            return
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if verdict := self.limits.judge(done - 1, found):
            raise PrunedRun(verdict)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: object) -> None:
        limit = self.limits.seconds
        if limit is not None and self.last.seconds > limit:
            raise TimeLimitError(f"time limit: it took more than {limit:g} s")
