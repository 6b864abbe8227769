"""Ctrl-C and SIGTERM end a run between two batches, so that its records are whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRun(Exception):  # noqa: N818, an order, not an error
    """Somebody asked the run to stop."""


class Stop(pl.Callback):
    """Ends the run at the next batch once a signal came; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.deaf = False
        """Set while a run writes its last records: a signal is not heeded then."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; in a thread other than the main one, where that is impossible, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.deaf:
            return
        if self.asked:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name

    def _heed(self) -> None:
        if self.asked:
            raise InterruptedRun(self.asked)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._heed()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._heed()

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._heed()
