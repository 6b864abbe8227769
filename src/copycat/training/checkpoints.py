"""When a run is saved, and what it needs to go on to the same bits."""

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from copycat.models.metrics import Row, to_scalar_tensor
from copycat.records.background_writer import Disk
from copycat.records.checkpoint_file import copy, keep
from copycat.training.checkpoint_io import WholeCheckpoints
from copycat.training.lightning_internals import (
    forget_restart,
    get_fit_loop,
    get_position,
    make_state_key,
    set_position,
)
from copycat.training.progress import Position

OURS = "copycat"
"""The key of a checkpoint under which our part lies."""
BEFORE = "before.ckpt"
"""The checkpoint before the last, until a run is completed."""
OF_TIME = 0.02
"""Share of the time that saving may take where epochs ask for it: where they are short, some wait for the next."""


@runtime_checkable
class BufferingLoop(Protocol):
    """A fit loop that logs many epochs together."""

    def flush(self) -> None:
        """Log all epochs that ended, and hand over the steps of the one in progress."""


class LastCheckpoint(pl.Callback):
    """The checkpoint that a run goes on from; the one before it is kept as `before.ckpt`.

    Whatever is due is written before the next batch, epoch or end, once every callback and scheduler is done with what
    came before; but what epochs ask for waits while saving has taken more than a small share of the time. Its other
    parts are Lightning's.

    Args:
        every_n_epochs: also written at the run's end, whether one is due then or not; None: neither.
        every_n_steps: optimizer steps; None: not by steps.
        every_seconds: None: not by time.
    """

    def __init__(
        self,
        dirpath: str,
        *,
        filename: str = "last",
        every_n_epochs: int | None = 1,
        every_n_steps: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        self.path = Path(dirpath, f"{filename}.ckpt")
        self.every_n_epochs, self.every_n_steps, self.every_seconds = every_n_epochs, every_n_steps, every_seconds
        self._before = 0.0
        self._started = self._saved = time.monotonic()
        self._due = False
        self._saved_step = 0
        self._spent = 0.0
        self.files = WholeCheckpoints(Disk())
        self.start: Position | None = None
        """Where a resumed run goes on, until it does."""
        self.extended_at: Collection[int] = ()
        """Epochs at which a run that was finished is to train on."""
        self.also: Path | None = None
        """Where the state after this epoch is to lie too."""
        self._at: tuple[Position, bool] | None = None
        self._metrics: dict[str, Tensor] = {}

    @property
    def seconds(self) -> float:
        """Since this run was built, and before it was resumed."""
        return self._before + time.monotonic() - self._started

    def before(self, seconds: float) -> None:
        """Count those that the run took before it was resumed."""
        self._before = seconds

    # ----- when

    def supports_multi_step(self) -> bool:
        """Return true: the loop calls its hooks between steps."""
        return True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved_step = trainer.global_step
        trainer.callback_metrics.update(self._metrics)  # here, as Lightning forgets them after a checkpoint is loaded

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._is_due(trainer) and between_steps(trainer, batch_idx):
            self.save(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_due(trainer):
            self.save(trainer)
        self._save_also(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        forget_restart(trainer)
        self._due |= bool(self.every_n_epochs) and (trainer.current_epoch + 1) % (self.every_n_epochs or 1) == 0

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._due or self.every_n_epochs:
            self.save(trainer, finished=True)
        self._save_also(trainer)
        self.files.write_held()

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.every_n_steps and trainer.global_step - self._saved_step >= self.every_n_steps:
            return True
        now = time.monotonic()
        if self.every_seconds is not None and now - self._saved >= self.every_seconds:
            return True
        return self._due and self._spent <= OF_TIME * (now - self._started)

    # ----- what

    def save(self, trainer: pl.Trainer, *, finished: bool = False) -> None:
        """Write the checkpoint now: only before a batch or an epoch, or at the end.

        Raises:
            DivergedError: where a weight is not finite; the checkpoint before stays.
        """
        began = time.monotonic()
        self._write(trainer, self.path, finished=finished)
        self._saved, self._saved_step, self._due = time.monotonic(), trainer.global_step, False
        if self.also is not None:
            self.files.disk.later(partial(copy, self.path, self.also))
            self.also = None
        self._spent += time.monotonic() - began

    def _save_also(self, trainer: pl.Trainer) -> None:
        """What was asked for where no checkpoint was due by itself; held until one is, where epochs are short."""
        also, self.also = self.also, None
        if also is None:
            return
        if not isinstance(get_fit_loop(trainer), BufferingLoop):
            self._write(trainer, also, finished=False)
            return
        self.files.holds = True
        try:
            self._save(trainer, also, finished=False)
        finally:
            self.files.holds = False

    def _write(self, trainer: pl.Trainer, path: Path, *, finished: bool) -> None:
        _flush(trainer)
        for logger in trainer.loggers:
            logger.save()  # or a killed run would lack rows that came before its checkpoint
        if self.also is not None:  # a better one
            self.files.held = None
        self.files.write_held()
        if path == self.path:
            self.files.disk.later(partial(keep, path, path.with_name(BEFORE)))
        self._save(trainer, path, finished=finished)

    def _save(self, trainer: pl.Trainer, path: Path, *, finished: bool) -> None:
        self._at = get_position(trainer), finished
        try:
            trainer.save_checkpoint(path, weights_only=False)
        finally:
            self._at = None

    def close_held(self, first: int, rows: Sequence[Row], losses: Sequence[Tensor]) -> None:
        """Give what is held the metrics of its epoch, which were not known as it was taken.

        Args:
            first: the epoch of the first row.
            losses: of each epoch's last step.
        """
        if self.files.held is None:
            return
        _, checkpoint = self.files.held
        place = checkpoint[OURS]["epoch"] - 1 - first
        if 0 <= place < len(rows):
            train = {name: value for name, value in rows[place].items() if name.startswith("train/")}
            checkpoint[OURS]["callback_metrics"] |= train
            checkpoint["classifier"]["last_loss"] = losses[place].cpu()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self.files.holds:
            _flush(trainer)
        if self._at is None:  # another callback's
            return
        position, finished = self._at
        set_position(checkpoint["loops"], position)
        checkpoint[OURS] = self.ours(position, trainer.callback_metrics, finished=finished)

    def ours(self, position: Position, metrics: Mapping[str, Tensor | float], *, finished: bool) -> dict[str, Any]:
        """What a checkpoint holds of us."""
        return {
            "epoch": position.epoch,
            "batch": position.batch,
            "finished": finished,
            "seconds": self.seconds,
            # numbers: a file of a tensor each would take longer than the weights
            "callback_metrics": {name: float(value) for name, value in metrics.items()},
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        ours = checkpoint[OURS]
        self.before(ours["seconds"])
        self._metrics = {name: to_scalar_tensor(float(value)) for name, value in ours["callback_metrics"].items()}
        self.start = position = Position(ours["epoch"], ours["batch"])
        set_position(checkpoint["loops"], position)  # of whichever loop saved it
        # such as by early stopping; a run that is asked for more epochs trains on
        trainer.should_stop = ours["finished"] and position.epoch not in self.extended_at


class BestCheckpoint(Checkpoint):
    """The checkpoint of the epoch with the best value of a metric.

    Args:
        mode: `min` or `max`.
    """

    def __init__(
        self, dirpath: str, *, monitor: str, mode: str, filename: str = "best", every_n_epochs: int = 1
    ) -> None:
        self.path = Path(dirpath, f"{filename}.ckpt")
        self.monitor, self.mode, self.every_n_epochs = monitor, mode, every_n_epochs
        self.best: Tensor | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        if value is None or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        if not self.is_better(value):
            return
        callbacks: Any = getattr(trainer, "callbacks")  # noqa: B009, set by a connector: mypy does not see it
        last = next((callback for callback in callbacks if isinstance(callback, LastCheckpoint)), None)
        if last is not None:
            last.also = self.path  # with the last one, where that is due too: written once
        else:
            trainer.save_checkpoint(self.path, weights_only=False)

    def is_better(self, value: Tensor) -> bool:
        """Whether a value is the best so far; it is remembered then."""
        if self.best is not None and not (value < self.best if self.mode == "min" else value > self.best):
            return False
        self.best = value.detach().cpu()
        return True

    def supports_multi_step(self) -> bool:
        """Return whether it looks at validations alone, after which the loop calls its hook."""
        return self.monitor.startswith("val/")

    @property
    def state_key(self) -> str:
        return make_state_key(self, monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def _flush(trainer: pl.Trainer) -> None:
    loop = get_fit_loop(trainer)
    if isinstance(loop, BufferingLoop):
        loop.flush()


def between_steps(trainer: pl.Trainer, batch: int) -> bool:
    """Whether no gradient waits for a batch to come."""
    return batch % trainer.accumulate_grad_batches == 0
