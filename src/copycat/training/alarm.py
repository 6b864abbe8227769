"""Interrupt the main thread after some time, on every system."""

import _thread
import signal
import threading


class Alarm:
    """Send SIGINT to the main thread after some seconds, unless it is cancelled before.

    The alarm of the system, SIGALRM, is not used: Windows has none, and where no handler is left, it kills the process.
    """

    def __init__(self) -> None:
        """Make an alarm that is not set."""
        self._guard = threading.RLock()  # a handler of signals may set or cancel what the main thread cancels
        self._timer: threading.Timer | None = None
        self._rang = False

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, and at no time that was set before."""
        self.cancel()
        timer = threading.Timer(max(0.0, seconds), self._ring)
        timer.daemon = True
        with self._guard:  # a second Ctrl-C may raise between the two: what was not started cannot be joined
            timer.start()
            self._timer = timer

    def cancel(self) -> None:
        """Ring no more: a signal that was not sent yet does not come."""
        with self._guard:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()

    def take_ring(self) -> bool:
        """Return, once for each ring, whether the signal that came is this alarm's."""
        rang, self._rang = self._rang, False
        return rang

    def _ring(self) -> None:
        with self._guard:
            if self._timer is not threading.current_thread():
                return
            self._rang = True
            if hasattr(signal, "pthread_kill"):  # which wakes the main thread while it waits
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main(signal.SIGINT)
