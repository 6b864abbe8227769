"""The one module that touches names of Lightning that are not public.

Every other module goes through these functions. tests/runs/test_lightning_internals.py holds each of them against the
installed Lightning, and fails by the name that has changed.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loops.fit_loop import _FitLoop as FitLoop
from pytorch_lightning.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch import Tensor

from copycat.training.progress import Position

__all__ = ["FitLoop"]

# ----- the Trainer


def detects_anomalies(trainer: pl.Trainer) -> bool:
    """Return whether the Trainer was asked to look for NaN in the backward pass."""
    return bool(trainer._detect_anomaly)


def choose_device(accelerator: str) -> torch.device:
    """Return the device that a Trainer with one device of this accelerator uses."""
    chosen = _AcceleratorConnector(accelerator=accelerator, devices=1)
    device: torch.device = chosen.strategy.root_device
    return device


# ----- callbacks


def make_state_key(callback: pl.Callback, **settings: Any) -> str:
    """Return the key of a callback's state in checkpoints, which tells callbacks of one class apart by settings."""
    return callback._generate_state_key(**settings)


def looks_at_validations_alone(callback: EarlyStopping) -> bool:
    """Return whether early stopping checks its metric at the end of a validation, unless each epoch has one."""
    return callback._check_on_train_epoch_end is not True


def check_early_stopping(callback: EarlyStopping, value: Tensor) -> tuple[bool, str | None]:
    """Return whether to stop after this value of the metric, and the reason."""
    return callback._evaluate_stopping_criteria(value)


# ----- the fit loop and its progress


def get_fit_loop(trainer: pl.Trainer) -> FitLoop:
    """Return the loop that `fit` runs."""
    return trainer.fit_loop


def set_fit_loop(trainer: pl.Trainer, loop: FitLoop) -> None:
    """Make `fit` run this loop, which takes over the epoch loop of the one before."""
    loop.epoch_loop = trainer.fit_loop.epoch_loop
    trainer.fit_loop = loop


def get_position(trainer: pl.Trainer) -> Position:
    """Return where a Trainer stands: before a batch, before an epoch, or at its end."""
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.current
    batches: Any = loop.epoch_loop.batch_progress.current
    is_inside = batches.ready > batches.processed  # a batch was fetched, and not trained on yet
    return Position(epochs.processed, batches.processed if is_inside else 0)


def forget_restart(trainer: pl.Trainer) -> None:
    """Mark a resumed epoch as any other: plateau schedulers would not step at its end."""
    trainer.fit_loop.restarting = False


def set_epoch_progress(loop: FitLoop, completed: int, *, ready: int, started: int, processed: int) -> None:
    """Count epochs: so many are completed, and so many more are ready, started and processed."""
    trackers: tuple[Any, ...] = (loop.epoch_progress.current, loop.epoch_progress.total)
    for tracker in trackers:
        tracker.ready, tracker.started = completed + ready, completed + started
        tracker.processed, tracker.completed = completed + processed, completed


def set_batch_progress(loop: FitLoop, done: int, *, before: int, ready: int, is_last: bool) -> None:
    """Count batches: so many of the epoch are done, after those of the epochs before, and so many more are ready."""
    progress = loop.epoch_loop.batch_progress
    trackers: tuple[tuple[Any, int], ...] = ((progress.current, done), (progress.total, before + done))
    for tracker, count in trackers:
        tracker.ready = count + ready
        tracker.started = tracker.processed = tracker.completed = count
    progress.is_last_batch = is_last


def set_global_step(loop: FitLoop, steps: int) -> None:
    """Count optimizer steps."""
    total = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    total.ready = total.completed = loop.epoch_loop._batches_that_stepped = steps


def begin_epoch_loop(loop: FitLoop) -> None:
    """Reset the counters of one epoch, as Lightning does before its first batch."""
    loop.epoch_loop.reset()


def end_epoch_loop(loop: FitLoop) -> None:
    """Do what Lightning does after an epoch's last batch: validate where it is due."""
    assert loop._data_fetcher is not None
    loop.epoch_loop.on_advance_end(loop._data_fetcher)


# ----- the loops' state in checkpoints


def get_loops_state(trainer: pl.Trainer) -> dict[str, Any]:
    """Return the state of all loops, as checkpoints hold it."""
    return trainer._checkpoint_connector._get_loops_state_dict()


def set_position(loops: dict[str, Any], position: Position) -> None:
    """Rewrite the state of the loops so that the fit loop stands at a position.

    Lightning's own states depend on the hook that saved them, and some resume wrongly: from an epoch's last batch it
    skips the end of that epoch, from the end of an epoch it skips a plateau scheduler's step. So a checkpoint is only
    written before a batch or before an epoch, and its loops are set to be just there.
    """
    fit = loops["fit_loop"]
    is_inside = position.batch > 0
    epochs, batches = fit["epoch_progress"], fit["epoch_loop.batch_progress"]
    for tracker in ("total", "current"):
        done = position.epoch
        begun = done + 1 if is_inside else done
        epochs[tracker] |= {"ready": begun, "started": begun, "processed": done, "completed": done}
    total = batches["total"]["completed"]
    batches["total"] = dict.fromkeys(batches["total"], total)
    batches["current"] = dict.fromkeys(batches["current"], position.batch)
    batches["is_last_batch"] = False
    fit["state_dict"]["combined_loader"] = [{"epoch": position.epoch, "given": position.batch}]


def move_to_epoch_start(fit: dict[str, Any]) -> None:
    """Rewrite the state of a fit loop to stand at the start of the epoch in progress."""
    set_position({"fit_loop": fit}, Position(fit["epoch_progress"]["current"]["processed"]))


def set_global_step_of_state(loops: dict[str, Any], steps: int) -> None:
    """Rewrite the state of the loops so that the fit loop has made so many optimizer steps."""
    progress = loops["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    progress["total"] = {"ready": steps, "completed": steps}
