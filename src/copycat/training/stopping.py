"""End a run between two epochs or steps: at a time limit, when its time budget is spent, or by a pruner."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl

from copycat.config.durations import parse_duration
from copycat.training.checkpoints import LastCheckpoint, between_steps
from copycat.training.decisions import RankDecisions
from copycat.training.hook_compatibility import MultiStepCallback
from copycat.training.lightning_internals import BudgetSpent, Position, get_position

Pruner = Callable[[int, Mapping[str, float]], str | None]
"""Takes an epoch and its metrics after each validation; returns the reason to end the run, or None."""

TIME_LIMIT = "time limit"
"""First words of the error of a trial that took more than `sweep.max_seconds`."""


class PrunedRun(Exception):  # noqa: N818, a verdict, not an error
    """Report that a pruner ended the run, with its reason."""


class TimeLimitError(Exception):
    """Report that the run reached its time limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Hold the limits of a run: a trial's, and a rerun's."""

    seconds: float | None = None
    """Maximum duration of a trial, including the time before a resume; a longer one fails."""
    ignores_clock: bool = False
    """Whether `trainer.max_time` has no effect: a rerun ends where the original did."""
    end: Position | None = None
    """Position at which training ends."""
    pruner: Pruner | None = None
    quiet: bool = False
    """Whether to leave out callbacks that draw on the terminal."""
    metrics: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of metrics that the run must have, by the keys that name them."""


class Limiter(MultiStepCallback):
    """End a run that reaches its limits."""

    observes = ()

    def __init__(
        self,
        limits: Limits,
        last: LastCheckpoint,
        *,
        max_time: Any = None,
        from_first: Callable[[Callable[[], str | None]], str | None] = lambda make: make(),
    ) -> None:
        """Take the limits, the checkpoint callback that counts seconds, and the value of `trainer.max_time`.

        `from_first` returns what the first rank makes.
        """
        self.limits, self.last, self._from_first = limits, last, from_first
        self.decisions: RankDecisions | None = None
        """Where ranks agree by the first one's clock; None: this process decides."""
        self.budget = None if max_time is None or limits.ignores_clock else parse_duration(max_time)

    @property
    def needs_loop(self) -> bool:
        """Return whether training may end between two steps, by BudgetSpent."""
        return self.budget is not None or self.limits.end is not None

    def ends_in(self, epoch: int) -> bool:
        """Return whether training ends at a given position of this epoch."""
        return self.limits.end is not None and self.limits.end.epoch <= epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the pruner about the previous epoch, whose records are complete here, also after a resume."""
        self._end_if_spent(trainer)
        done = trainer.current_epoch
        if self.limits.pruner is None or done == 0 or done % (trainer.check_val_every_n_epoch or 1):
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        pruner = self.limits.pruner
        if why := self._from_first(lambda: pruner(done - 1, metrics)):
            raise PrunedRun(why)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End training where the budget is spent; raise TimeLimitError where a trial took too long."""
        if self.is_too_long() if self.decisions is None else self.decisions.take("time limit"):
            raise TimeLimitError(f"{TIME_LIMIT}: it took more than {self.limits.seconds:g} s")
        if between_steps(trainer, batch_idx):
            self._end_if_spent(trainer)

    def is_too_long(self) -> bool:
        """Return whether a trial took longer than its limit."""
        return self.limits.seconds is not None and self.last.seconds > self.limits.seconds

    def is_spent(self) -> bool:
        """Return whether the time budget is spent."""
        return self.budget is not None and self.last.seconds >= self.budget

    def _end_if_spent(self, trainer: pl.Trainer) -> None:
        """Save, and end training before the next step; a run takes at least one."""
        if not self.needs_loop:
            return
        at, end = get_position(trainer), self.limits.end
        is_at_end = end is not None and (at.epoch, at.batch) >= (end.epoch, end.batch)
        is_spent = self.is_spent() if self.decisions is None else self.decisions.take("budget")
        if (is_at_end or is_spent) and at != Position(0):
            self.last.save(trainer)
            self.last.ended_at = at
            raise BudgetSpent
