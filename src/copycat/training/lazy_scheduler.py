"""Learning-rate schedules, of which one that changes nothing costs nothing."""

from typing import Any

from torch.optim.lr_scheduler import ConstantLR


class Schedule:
    """A scheduler whose steps wait where they change no learning rate, and are counted."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.changes = not (type(scheduler) is ConstantLR and scheduler.factor == 1)
        self._owed = 0

    def step(self) -> None:
        if self.changes:
            self.scheduler.step()
        else:
            self._owed += 1

    def settle(self) -> None:
        """Make the steps that wait, before anybody looks at the scheduler."""
        owed, self._owed = self._owed, 0
        if owed:
            self.scheduler.last_epoch += owed - 1
            self.scheduler._step_count += owed - 1
            self.scheduler.step()
