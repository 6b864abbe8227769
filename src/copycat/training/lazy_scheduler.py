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
        if not deferred:
            return
        scheduler = self.scheduler
        is_unchanged = scheduler._last_lr == [group["lr"] for group in scheduler.optimizer.param_groups]
        counted = deferred if is_unchanged else deferred - 1
        scheduler.last_epoch += counted
        scheduler._step_count += counted
        if not is_unchanged:  # a callback has set another one
            scheduler.step()
