"""End a run between two steps on a signal, with a checkpoint to resume from."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from copycat.data.loaders import Batch
from copycat.training.alarm import Alarm
from copycat.training.checkpoints import LastCheckpoint, between_steps
from copycat.training.decisions import RankDecisions
from copycat.training.hook_compatibility import MultiStepCallback

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK")
"""SIGINT: Ctrl-C. SIGTERM: `kill`, SLURM's preemption. SIGHUP: a closed terminal. SIGQUIT: Ctrl-\\. SIGUSR1, SIGUSR2:
`sbatch --signal` before a time limit. SIGBREAK: Ctrl-Break on Windows, which has the first two of the others alone."""
GRACE_SECONDS = 3.5
"""Seconds that a step or validation may still take before it is aborted; the previous checkpoint stays then."""


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a run, without SIGHUP where it is ignored, as under nohup."""
    known = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    return [number for number in known if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]


class InterruptedRun(Exception):  # noqa: N818, an order, not an error
    """Report that a signal requested the end of the run."""


class SignalHandler(MultiStepCallback):
    """Save and end the run before the next step after a signal; a second Ctrl-C ends it at once."""

    observes = ()

    def __init__(self) -> None:
        """Handle no signals until `listening`."""
        self.received: str | None = None
        self._signals: list[signal.Signals] = []  # signals that are handled
        self.last: LastCheckpoint | None = None
        """Callback that saves the run; None: a signal ends the run at once."""
        self.decisions: RankDecisions | None = None
        """Where ranks agree whether one of them got a signal; None: this process has no others."""
        self.deferred = False  # whether a signal waits, while the run writes its last records
        self._deferred_signal: int | None = None
        self._alarm = Alarm()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside; do nothing in a thread other than the main one, which cannot handle them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ending = ending_signals()
        before: dict[int, Any] = {number: signal.getsignal(number) for number in ending}
        self._signals = ending
        self._install()
        try:
            yield
        finally:
            self._signals = []
            self._alarm.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)
            # pass it on to a sweep's handler, which must start no further trial; a run alone is over by now
            late, defaults = self._deferred_signal, (*signal.Handlers, signal.default_int_handler, None)
            if late and before[late] not in defaults:
                signal.raise_signal(late)

    def _install(self) -> None:
        for number in self._signals:
            signal.signal(number, self._receive)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take back SIGTERM, for which Lightning's handler would end the run without saving."""
        self._install()

    on_validation_start = on_train_start

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._alarm.take_ring():
            if self._signals and not self.deferred:
                raise InterruptedRun(self.received)
            return
        if self.deferred:
            self._deferred_signal = number
            return
        name = signal.Signals(number).name
        if name == self.received == "SIGHUP":  # a closing terminal sends one, and its shell another
            return
        if self.received or self.last is None:
            raise KeyboardInterrupt
        self.received = name
        if self.decisions is None:  # of several ranks, none may leave a step alone
            self._alarm.set(GRACE_SECONDS)

    def _should_stop(self) -> bool:
        return bool(self.received) if self.decisions is None else self.decisions.take("signal")

    def _stop_if_requested(self, trainer: pl.Trainer) -> None:
        if self._should_stop():
            self.deferred = True
            assert self.last is not None
            self.last.save(trainer)
            self.last.files.writer.wait()
            raise InterruptedRun(self.received)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save and end the run where a signal came, and no gradient is accumulated."""
        if between_steps(trainer, batch_idx):
            self._stop_if_requested(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save and end the run where a signal came."""
        self._stop_if_requested(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """End the final evaluation where a signal came.

        Its weights are saved. A validation between epochs is short, and completes.
        """
        if trainer.state.fn != "fit" and self._should_stop():
            raise InterruptedRun(self.received)

    def until_signal(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches of an evaluation without a Trainer, until a signal comes."""
        self._install()
        for batch in batches:
            yield batch
            if self.received:
                raise InterruptedRun(self.received)
