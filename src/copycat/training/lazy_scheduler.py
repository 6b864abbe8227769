"""Defer steps of learning-rate schedulers that change nothing."""

from typing import Any

from torch.optim.lr_scheduler import ConstantLR


class LazyScheduler:
    """Defer and count a scheduler's steps where they change no learning rate."""

    def __init__(self, scheduler: Any) -> None:
        """Wrap a scheduler."""
        self.scheduler = scheduler
        self.changes = not (type(scheduler) is ConstantLR and scheduler.factor == 1)
        self._deferred = 0

    def step(self) -> None:
        """Step the scheduler, or defer the step."""
        if self.changes:
            self.scheduler.step()
        else:
            self._deferred += 1

    def apply_deferred(self) -> None:
        """Apply the deferred steps, before the scheduler is read."""
        deferred, self._deferred = self._deferred, 0
        if deferred:
            self.scheduler.last_epoch += deferred - 1
            self.scheduler._step_count += deferred - 1
            self.scheduler.step()
