"""Save checkpoints to resume from to the same bits. Long, as it is one callback whose hooks share its state."""

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from copycat.models.metrics import Row, to_scalar_tensor
from copycat.records.background_writer import BackgroundWriter
from copycat.records.checkpoint_file import copy, keep_previous
from copycat.records.metrics_csv import digest_rows
from copycat.training.checkpoint_io import AtomicCheckpointIO, check_finite
from copycat.training.decisions import RankDecisions
from copycat.training.hook_compatibility import MultiStepCallback
from copycat.training.lightning_internals import (
    Position,
    forget_restart,
    get_fit_loop,
    get_position,
    read_metrics,
    set_position,
)

CHECKPOINT_KEY = "copycat"  # key of Copycat's entry in a checkpoint
BEFORE = "before.ckpt"  # name of the checkpoint before the last, until the run is completed
MAX_SAVING_SHARE = 0.02  # maximum share of the time for saving by epochs: short epochs skip some checkpoints


class LastCheckpoint(MultiStepCallback):
    """Save the checkpoint from which a run resumes; keep the previous one as `before.ckpt`.

    A due checkpoint is written before the next batch or epoch, or at the end, after all callbacks and schedulers have
    handled the step. Checkpoints due by epochs wait while saving has taken more than a small share of the time.

    Args:
        dirpath: folder of the checkpoints.
        filename: name without its extension.
        every_n_epochs: epochs between checkpoints, and one at the end of the run; None: neither.
        every_n_steps: optimizer steps between checkpoints; None: not by steps.
        every_seconds: seconds between checkpoints; None: not by time.
    """

    observes = ()

    def __init__(
        self,
        dirpath: str,
        *,
        filename: str = "last",
        every_n_epochs: int | None = 1,
        every_n_steps: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        """Count seconds from here on."""
        self.path = Path(dirpath, f"{filename}.ckpt")
        self.every_n_epochs, self.every_n_steps, self.every_seconds = every_n_epochs, every_n_steps, every_seconds
        self._before = 0.0
        self._started = self._saved = time.monotonic()
        self._due = False
        self._saved_step = 0
        self._spent = 0.0
        self.files = AtomicCheckpointIO(BackgroundWriter(), self.path.parent)
        self.start: Position | None = None  # position at which a resumed run starts; None once it has started
        self.extended_at: Collection[int] = ()  # epochs at which a finished run was extended
        self.ended_at: Position | None = None  # position at which training ended before its last epoch, saved there
        self.copy_to: Path | None = None  # path of a requested copy of the state after this epoch
        self.decisions: RankDecisions | None = None
        """Where ranks agree whether a checkpoint is due; None: this process decides."""
        self._at: tuple[Position, bool] | None = None
        self._keeps_buffer = False  # whether a checkpoint is taken without a flush of the epochs before it
        self._metrics: dict[str, Tensor] = {}

    @property
    def seconds(self) -> float:
        """Return the run's seconds, including those before a resume."""
        return self._before + time.monotonic() - self._started

    def add_seconds(self, seconds: float) -> None:
        """Add the seconds spent before the resume."""
        self._before = seconds

    # ----- when

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore metrics of the loaded checkpoint, which Lightning clears after loading."""
        self._saved_step = trainer.global_step
        trainer.callback_metrics.update(self._metrics)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save where a checkpoint is due, and no gradient waits for a batch to come."""
        if between_steps(trainer, batch_idx) and self._should_save(trainer):
            self.save(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where a checkpoint is due, or another callback requested one."""
        if self._should_save(trainer):
            self.save(trainer)
        self._save_copy(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note whether a checkpoint is due by epochs."""
        forget_restart(trainer)
        self._due |= bool(self.every_n_epochs) and (trainer.current_epoch + 1) % (self.every_n_epochs or 1) == 0

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the final state, unless training ended early, at a checkpoint to resume from."""
        if self.ended_at is None and (self._due or self.every_n_epochs):
            self.save(trainer, finished=True)
        self._save_copy(trainer)
        self._write_pending()

    def _should_save(self, trainer: pl.Trainer) -> bool:
        return self.is_due(trainer) if self.decisions is None else self.decisions.take("checkpoint")

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return whether a checkpoint is due, by steps, time or epochs."""
        if self.every_n_steps and trainer.global_step - self._saved_step >= self.every_n_steps:
            return True
        now = time.monotonic()
        if self.every_seconds is not None and now - self._saved >= self.every_seconds:
            return True
        return self._due and self._spent <= MAX_SAVING_SHARE * (now - self._started)

    # ----- what

    def save(self, trainer: pl.Trainer, *, finished: bool = False) -> None:
        """Write the checkpoint now; call only before a batch or an epoch, or at the end.

        Raises:
            DivergedError: where a weight is not finite; the previous checkpoint stays.
        """
        began = time.monotonic()
        self._write(trainer, self.path, finished=finished)
        self._saved, self._saved_step, self._due = time.monotonic(), trainer.global_step, False
        if self.copy_to is not None:
            self.files.writer.submit(partial(copy, self.path, self.copy_to))
            self.copy_to = None
        self._spent += time.monotonic() - began

    def _save_copy(self, trainer: pl.Trainer) -> None:
        """Save a requested copy although no checkpoint is due; keep it in memory where epochs are buffered."""
        copy_to, self.copy_to = self.copy_to, None
        if copy_to is None:
            return
        loop: Any = get_fit_loop(trainer)
        if not hasattr(loop, "take_checkpoint"):
            self._write(trainer, copy_to, finished=False)
            return
        self._at, self._keeps_buffer = (get_position(trainer), False), True
        try:
            self.files.pending = copy_to, loop.take_checkpoint()
        finally:
            self._at, self._keeps_buffer = None, False

    def _write(self, trainer: pl.Trainer, path: Path, *, finished: bool) -> None:
        _flush(trainer)
        for logger in trainer.loggers:
            logger.save()  # a killed run must have all rows before its checkpoint
        if self.copy_to is not None:  # the new copy is of a better epoch
            self.files.pending = None
        self._write_pending()
        if path == self.path:
            self.files.writer.submit(partial(keep_previous, path, path.with_name(BEFORE)))
        self._save(trainer, path, finished=finished)

    def _save(self, trainer: pl.Trainer, path: Path, *, finished: bool) -> None:
        self._at = get_position(trainer), finished
        try:
            trainer.save_checkpoint(path, weights_only=False)
        finally:
            self._at = None

    def _write_pending(self) -> None:
        if self.files.pending is not None:
            entry = self.files.pending[1][CHECKPOINT_KEY]
            entry["callback_metrics"] = to_numbers(entry["callback_metrics"])
        self.files.write_pending()

    def complete_pending(self, first: int, rows: Sequence[Row], losses: Sequence[Tensor]) -> None:
        """Add metrics of the epochs from `first` on, and losses of their last steps, to the checkpoint in memory.

        It was taken before they were known.
        """
        if self.files.pending is None:
            return
        _, checkpoint = self.files.pending
        place = checkpoint[CHECKPOINT_KEY]["epoch"] - 1 - first
        if 0 <= place < len(rows):
            checkpoint[CHECKPOINT_KEY]["callback_metrics"] |= rows[place]
            checkpoint["classifier"]["last_loss"] = losses[place].cpu()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add position, seconds and metrics to a checkpoint of this callback."""
        if self.decisions is not None:  # the first rank alone would find out as it writes
            check_finite(checkpoint)
        if not self._keeps_buffer:
            _flush(trainer)
        if self._at is None:  # another callback saves this one
            return
        position, finished = self._at
        set_position(checkpoint["loops"], position)
        metrics: Mapping[str, Any] = dict(read_metrics(trainer))
        if not self._keeps_buffer:  # else most of them come with the buffer
            metrics = to_numbers(metrics)
        checkpoint[CHECKPOINT_KEY] = self.copycat_state(position, metrics, finished=finished)
        if not self._keeps_buffer:  # else it is one of many in memory, before its rows are written
            self.add_rows_digest(checkpoint)

    def add_rows_digest(self, checkpoint: Mapping[str, Any]) -> None:
        """Add a hash of the rows of metrics.csv to a checkpoint of the last epoch, by which a resume compares them."""
        entry = checkpoint[CHECKPOINT_KEY]
        entry["rows_digest"] = digest_rows(self.path.parents[1], entry["epoch"])

    def copycat_state(self, position: Position, metrics: Mapping[str, Any], *, finished: bool) -> dict[str, Any]:
        """Return Copycat's entry of a checkpoint."""
        return {
            "epoch": position.epoch,
            "batch": position.batch,
            "finished": finished,
            "seconds": self.seconds,
            "callback_metrics": metrics,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore position, seconds and metrics."""
        state = checkpoint[CHECKPOINT_KEY]
        self.add_seconds(state["seconds"])
        self._metrics = {name: to_scalar_tensor(float(value)) for name, value in state["callback_metrics"].items()}
        self.start = position = Position(state["epoch"], state["batch"])
        set_position(checkpoint["loops"], position)  # the loop that saved it may have been another
        # a finished run stays finished, such as after early stopping, unless it was extended
        trainer.should_stop = state["finished"] and position.epoch not in self.extended_at


def to_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Convert metrics to numbers: saving one tensor each would take longer than the weights."""
    return {name: float(value) for name, value in metrics.items()}


def _flush(trainer: pl.Trainer) -> None:
    loop = get_fit_loop(trainer)
    if hasattr(loop, "flush"):  # it logs many epochs together
        loop.flush()


def between_steps(trainer: pl.Trainer, batch: int) -> bool:
    """Return whether no gradient is accumulated before this batch."""
    return batch % trainer.accumulate_grad_batches == 0
