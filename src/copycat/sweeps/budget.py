"""Stop a whole sweep when its time is over, as a signal does: running trials save, and resume later."""

import threading
import time
from math import inf
from typing import Any, Self

from copycat.config.durations import parse_duration
from copycat.training.alarm import Alarm


class SweepBudget:
    """Count the seconds of a sweep, over all its starts, and signal the main thread once they reach a limit.

    Outside the main thread, which alone receives signals, running trials end first, and no other starts.
    """

    def __init__(self, max_time: Any, *, before: float) -> None:
        """Take the value of `sweep.max_time`, or None, and the seconds of earlier starts."""
        self.limit = None if max_time is None else parse_duration(max_time)
        self._before, self._started = before, time.monotonic()
        self._alarm = Alarm()

    @property
    def seconds(self) -> float:
        """Return the seconds that the sweep took so far."""
        return self._before + time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Return the seconds that are left, or infinity."""
        return inf if self.limit is None else max(0.0, self.limit - self.seconds)

    @property
    def is_over(self) -> bool:
        """Return whether the limit is reached."""
        return self.limit is not None and self.seconds >= self.limit

    def __enter__(self) -> Self:
        """Set the alarm."""
        if self.limit is not None and threading.current_thread() is threading.main_thread():
            self._alarm.set(self.limit - self.seconds)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the alarm: no signal comes afterwards."""
        self._alarm.cancel()
