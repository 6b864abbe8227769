"""End a run between two steps on a signal, with a checkpoint to resume from."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from copycat.data.loaders import Batch
from copycat.training.checkpoints import LastCheckpoint, between_steps

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""SIGINT: Ctrl-C. SIGTERM: `kill`, SLURM's preemption. SIGHUP: a closed terminal. SIGQUIT: Ctrl-\\. SIGUSR1, SIGUSR2:
`sbatch --signal` before a time limit."""
PATIENCE = 3.5
"""Seconds that a step or validation may still take before it is aborted; the previous checkpoint stays then."""


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a run, without SIGHUP where it is ignored, as under nohup."""
    found = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    return [one for one in found if one.name != "SIGHUP" or signal.getsignal(one) != signal.SIG_IGN]


class InterruptedRun(Exception):  # noqa: N818, an order, not an error
    """Report that a signal requested the end of the run."""


class Stop(pl.Callback):
    """Save and end the run before the next step after a signal; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        """Handle no signals until `listening`."""
        self.asked: str | None = None
        self._signals: list[signal.Signals] = []
        """Signals that are handled."""
        self.last: LastCheckpoint | None = None
        """Callback that saves the run; None: a signal ends the run at once."""
        self.deaf = False
        """Whether a signal waits, while the run writes its last records."""
        self._missed: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside; do nothing in a thread other than the main one, which cannot handle them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heeded = ending_signals()
        before: dict[int, Any] = {number: signal.getsignal(number) for number in heeded}
        if hasattr(signal, "SIGALRM"):
            before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
        self._signals = heeded
        self._listen()
        try:
            yield
        finally:
            self._signals = []
            self._hurry(0)
            for number, handler in before.items():
                signal.signal(number, handler)
            # pass it on to a sweep's handler, which must start no further trial; a run alone is over by now
            if self._missed and before[self._missed] not in (*signal.Handlers, signal.default_int_handler, None):
                signal.raise_signal(self._missed)

    def _listen(self) -> None:
        for number in self._signals:
            signal.signal(number, self._ask)

    def supports_multi_step(self) -> bool:
        """Return true: the loop calls its hooks between steps."""
        return True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take back SIGTERM, for which Lightning's handler would end the run without saving."""
        self._listen()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take back SIGTERM from Lightning's handler."""
        self._listen()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.deaf:
            self._missed = number
            return
        name = signal.Signals(number).name
        if name == self.asked == "SIGHUP":  # a closing terminal sends one, and its shell another
            return
        if self.asked or self.last is None:
            raise KeyboardInterrupt
        self.asked = name
        self._hurry(PATIENCE)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        if not self.deaf:
            raise InterruptedRun(self.asked)

    def _hurry(self, seconds: float) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _heed(self, trainer: pl.Trainer) -> None:
        if self.asked:
            self.deaf = True
            assert self.last is not None
            self.last.save(trainer)
            self.last.files.writer.wait()
            raise InterruptedRun(self.asked)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save and end the run where a signal came, and no gradient is accumulated."""
        if between_steps(trainer, batch_idx):
            self._heed(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save and end the run where a signal came."""
        self._heed(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """End the final evaluation where a signal came.

        Its weights are saved. A validation between epochs is short, and completes.
        """
        if self.asked and trainer.state.fn != "fit":
            raise InterruptedRun(self.asked)

    def between(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches of an evaluation without a Trainer, until a signal comes."""
        self._listen()
        for batch in batches:
            yield batch
            if self.asked:
                raise InterruptedRun(self.asked)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """End the final evaluation where a signal came."""
        if self.asked:
            raise InterruptedRun(self.asked)
