"""Stop a whole sweep when its time is over, as a signal does: running trials save, and resume later."""

import _thread
import signal
import threading
import time
from typing import Any, Self

from copycat.config.durations import parse_duration


class SweepBudget:
    """Count the seconds of a sweep, over all its starts, and signal the main thread once they reach a limit.

    Outside the main thread, which alone receives signals, running trials end first, and no other starts.
    """

    def __init__(self, max_time: Any, *, before: float) -> None:
        """Take the value of `sweep.max_time`, or None, and the seconds of earlier starts."""
        self.limit = None if max_time is None else parse_duration(max_time)
        self._before, self._started = before, time.monotonic()
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_open = False

    @property
    def seconds(self) -> float:
        """Return the seconds that the sweep took so far."""
        return self._before + time.monotonic() - self._started

    @property
    def is_over(self) -> bool:
        """Return whether the limit is reached."""
        return self.limit is not None and self.seconds >= self.limit

    def __enter__(self) -> Self:
        """Start the timer."""
        if self.limit is not None and threading.current_thread() is threading.main_thread():
            self._is_open = True
            self._timer = threading.Timer(max(0.0, self.limit - self.seconds), self._signal)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the timer: no signal comes afterwards."""
        with self._guard:
            self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _signal(self) -> None:
        with self._guard:
            if not self._is_open:
                return
            if hasattr(signal, "pthread_kill"):  # which wakes the main thread while it waits for other processes
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main(signal.SIGINT)
