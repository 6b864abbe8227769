"""Signals end a run between two steps, with a checkpoint that it goes on from."""

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
"""Ctrl-C; `kill`, and SLURM's preemption; a terminal that closes, or a connection to it that is lost; Ctrl-\\; what
`sbatch --signal` sends before a time limit."""
PATIENCE = 3.5
"""Seconds that a step, or a validation, may still take until it is given up; the checkpoint before stays then."""


def ending_signals() -> list[signal.Signals]:
    """The signals that end a run; SIGHUP is not among them where it is ignored, as under nohup."""
    found = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    return [one for one in found if one.name != "SIGHUP" or signal.getsignal(one) != signal.SIG_IGN]


class InterruptedRun(Exception):  # noqa: N818, an order, not an error
    """Somebody asked the run to stop."""


class Stop(pl.Callback):
    """Saves and ends the run before the next step once a signal came; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self._signals: list[signal.Signals] = []
        """Those that are listened to."""
        self.last: LastCheckpoint | None = None
        """What saves the run; until it is set, a signal ends the process's work at once."""
        self.deaf = False
        """Set while a run writes its last records: a signal waits until they are written."""
        self._missed: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; in a thread other than the main one, where that is impossible, do nothing."""
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
            # a sweep has a handler, and is not to begin another trial; of a run alone, all is done that could be ended
            if self._missed and before[self._missed] not in (*signal.Handlers, signal.default_int_handler, None):
                signal.raise_signal(self._missed)

    def _listen(self) -> None:
        for number in self._signals:
            signal.signal(number, self._ask)

    def supports_multi_step(self) -> bool:
        """Return true: the loop calls its hooks between steps."""
        return True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen()  # Lightning's own handler of SIGTERM would end the run before it is saved

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._listen()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.deaf:
            self._missed = number
            return
        name = signal.Signals(number).name
        if name == self.asked == "SIGHUP":  # of a terminal that closes, and once more of the shell in it
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
            self.last.files.disk.settle()
            raise InterruptedRun(self.asked)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if between_steps(trainer, batch_idx):
            self._heed(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._heed(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        # of the final weights, which are saved; a validation between epochs is worth the moment that it takes
        if self.asked and trainer.state.fn != "fit":
            raise InterruptedRun(self.asked)

    def between(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches of an evaluation that no Trainer runs, up to a signal."""
        self._listen()
        for batch in batches:
            yield batch
            if self.asked:
                raise InterruptedRun(self.asked)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        if self.asked:
            raise InterruptedRun(self.asked)
