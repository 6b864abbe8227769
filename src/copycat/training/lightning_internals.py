"""Collect every use of Lightning's private names in one module.

Other modules use these functions. tests/training/test_lightning_internals.py checks each against the installed
Lightning, and fails by the name that has changed.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities import registry
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loops.fit_loop import _FitLoop as FitLoop
from pytorch_lightning.loops.loop import _Loop
from pytorch_lightning.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch import Tensor

__all__ = ["FitLoop"]

FAULTS = {getattr(signal, name, None) for name in ("SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL")}
"""The signals that `faulthandler` handles, as far as the system has them."""

# ----- the Trainer


def detects_anomalies(trainer: pl.Trainer) -> bool:
    """Return whether the Trainer was asked to look for NaN in the backward pass."""
    return bool(trainer._detect_anomaly)


_read_entry_points = cache(entry_points)


@contextmanager
def remembered_entry_points() -> Iterator[None]:
    """Read the entry points of installed packages once, for all Trainers made inside.

    Each Trainer looks for callbacks of other packages there, which reads a file of every installed package.
    """
    usual = vars(registry)["entry_points"]
    vars(registry)["entry_points"] = _read_entry_points
    try:
        yield
    finally:
        vars(registry)["entry_points"] = usual


def get_stored_metrics(trainer: pl.Trainer) -> dict[str, Tensor]:
    """Return the stored `trainer.callback_metrics`, without values logged by `self.log` since they were last read.

    That property looks for it in a tenth of the time of a small network's epoch.
    """
    return trainer._logger_connector._callback_metrics


def read_metrics(trainer: pl.Trainer) -> dict[str, Tensor]:
    """Return `trainer.callback_metrics` during `fit`, without looking for results of `self.log` where none are."""
    loop = trainer.fit_loop.epoch_loop
    return trainer.callback_metrics if loop._results or loop.val_loop._results else get_stored_metrics(trainer)


def keep_fault_handlers(trainer: pl.Trainer) -> None:
    """Let the Trainer leave the signals of faults alone.

    After `fit` it restores the handler of each signal, as far as Python knows it. Of those of `python -X faulthandler`
    Python knows nothing: they would be gone, and a crash that comes later would show no traceback.
    """
    connector = trainer._signal_connector
    read = connector._get_current_signal_handlers
    connector._get_current_signal_handlers = lambda: {  # type: ignore[method-assign]
        number: handler for number, handler in read().items() if number not in FAULTS
    }


def leave_sigterm_to_us(trainer: pl.Trainer) -> None:
    """Let no step of several ranks wait for the first one to tell whether it received SIGTERM: ours agree on it."""
    loop = trainer.fit_loop.epoch_loop
    loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def choose_device(accelerator: str) -> torch.device:
    """Return the device that a Trainer with one device of this accelerator uses."""
    connector = _AcceleratorConnector(accelerator=accelerator, devices=1, plugins=[LightningEnvironment()])
    device: torch.device = connector.strategy.root_device
    return device


# ----- callbacks


def make_state_key(callback: pl.Callback, **settings: Any) -> str:
    """Return the key of a callback's state in checkpoints, which tells callbacks of one class apart by settings."""
    return callback._generate_state_key(**settings)


def looks_at_validations_alone(callback: EarlyStopping) -> bool:
    """Return whether early stopping checks its metric only after validations."""
    return callback._check_on_train_epoch_end is not True


def check_early_stopping(callback: EarlyStopping, value: Tensor) -> tuple[bool, str | None]:
    """Return whether to stop after this value of the metric, and the reason."""
    return callback._evaluate_stopping_criteria(value)


def has_stopped_early(states: Mapping[str, Any]) -> bool:
    """Return whether early stopping had ended training, by the states of callbacks in a checkpoint."""
    stopped = [state for key, state in states.items() if key.startswith("EarlyStopping")]
    return any(each["stopped_epoch"] or each["wait_count"] >= max(1, each["patience"]) for each in stopped)


# ----- the fit loop and its progress


@dataclass(frozen=True)
class Position:
    """Represent a point of training between two batches."""

    epoch: int
    """Number of completed epochs."""
    batch: int = 0
    """Number of completed batches of the next epoch."""

    def __str__(self) -> str:
        """Return epoch and batch, as messages print them."""
        return f"epoch {self.epoch}, batch {self.batch}" if self.batch else f"epoch {self.epoch}"


class BudgetSpent(Exception):  # noqa: N818, an order, not an error
    """Order the fit loop to end training before the next step, as after its last epoch."""


class EndingFitLoop(FitLoop):
    """Run Lightning's own loop, which ends between two steps on `BudgetSpent`, without the end of the epoch."""

    def on_advance_start(self) -> None:
        """Start an epoch."""
        with EndOnOrder():
            super().on_advance_start()

    def advance(self) -> None:
        """Run an epoch."""
        with EndOnOrder():
            super().advance()


class EndOnOrder:
    """Turn `BudgetSpent` into StopIteration, on which a fit loop ends and calls its hooks for the end of training."""

    def __enter__(self) -> None:
        """Enter; a generator as context manager could not raise StopIteration."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise StopIteration in place of the order."""
        if kind is not None and issubclass(kind, BudgetSpent):
            raise StopIteration from None


def get_fit_loop(trainer: pl.Trainer) -> FitLoop:
    """Return the loop that `fit` runs."""
    return trainer.fit_loop


def set_fit_loop(trainer: pl.Trainer, loop: FitLoop) -> None:
    """Make `fit` run this loop, which takes over the previous loop's epoch loop."""
    loop.epoch_loop = trainer.fit_loop.epoch_loop
    trainer.fit_loop = loop


def get_position(trainer: pl.Trainer) -> Position:
    """Return the position of a Trainer: before a batch, before an epoch, or at the end."""
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.current
    batches: Any = loop.epoch_loop.batch_progress.current
    is_inside = batches.ready > batches.processed  # a batch is fetched, but not trained on yet
    return Position(epochs.processed, batches.processed if is_inside else 0)


def forget_restart(trainer: pl.Trainer) -> None:
    """Clear the restart flag, with which plateau schedulers would not step at the epoch's end."""
    if trainer.fit_loop.restarting:  # it sets that of all loops inside, too
        # the fit loop's own setter sets it again under max_steps, and all later epochs would be empty
        _Loop.restarting.fset(trainer.fit_loop, False)  # type: ignore[attr-defined]


def set_epoch_progress(loop: FitLoop, completed: int, *, ready: int, started: int, processed: int) -> None:
    """Set the epoch counters: completed epochs, and how many more are ready, started and processed."""
    trackers: tuple[Any, ...] = (loop.epoch_progress.current, loop.epoch_progress.total)
    for tracker in trackers:
        tracker.ready, tracker.started = completed + ready, completed + started
        tracker.processed, tracker.completed = completed + processed, completed


def set_batch_progress(loop: FitLoop, done: int, *, before: int, ready: int, is_last: bool) -> None:
    """Set the batch counters: completed in this epoch and before it, and how many more are ready."""
    progress = loop.epoch_loop.batch_progress
    trackers: tuple[tuple[Any, int], ...] = ((progress.current, done), (progress.total, before + done))
    for tracker, count in trackers:
        tracker.ready = count + ready
        tracker.started = tracker.processed = tracker.completed = count
    progress.is_last_batch = is_last


def set_global_step(loop: FitLoop, steps: int) -> None:
    """Set the count of optimizer steps."""
    total = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    total.ready = total.completed = loop.epoch_loop._batches_that_stepped = steps


def begin_epoch_loop(loop: FitLoop) -> None:
    """Reset the counters of one epoch, as Lightning does before its first batch."""
    loop.epoch_loop.reset()


def end_epoch_loop(loop: FitLoop) -> None:
    """Run Lightning's work after an epoch's last batch: validate where it is due."""
    assert loop._data_fetcher is not None
    loop.epoch_loop.on_advance_end(loop._data_fetcher)


# ----- the loops' state in checkpoints


def get_loops_state(trainer: pl.Trainer) -> dict[str, Any]:
    """Return the state of all loops, as checkpoints hold it."""
    return trainer._checkpoint_connector._get_loops_state_dict()


def dump_checkpoint(trainer: pl.Trainer) -> dict[str, Any]:
    """Return the checkpoint that the Trainer would save; its tensors are those of the network and the optimizer."""
    checkpoint: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    return checkpoint


def update_loops_state(trainer: pl.Trainer, loops: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the state of all loops with the fit loop's present counts of batches and steps.

    What neither this nor `set_position` sets is shared.
    """
    loop, fit = trainer.fit_loop, loops["fit_loop"]
    batches, steps = fit["epoch_loop.batch_progress"], fit["epoch_loop.state_dict"]
    total: Any = loop.epoch_loop.batch_progress.total
    updated = {
        **loops,
        "fit_loop": {
            **fit,
            "state_dict": dict(fit["state_dict"]),
            "epoch_progress": {name: dict(counts) for name, counts in fit["epoch_progress"].items()},
            "epoch_loop.batch_progress": {**batches, "total": {**batches["total"], "completed": total.completed}},
            "epoch_loop.state_dict": {**steps, "_batches_that_stepped": loop.epoch_loop._batches_that_stepped},
        },
    }
    set_global_step_of_state(updated, trainer.global_step)
    return updated


def set_position(loops: dict[str, Any], position: Position) -> None:
    """Rewrite the state of the loops so that the fit loop is at a position.

    Lightning's state depends on the hook that saved it, and some states resume wrongly: from an epoch's last batch the
    end of the epoch is skipped, from the end of an epoch a plateau scheduler's step. Checkpoints are therefore written
    before a batch or an epoch alone, with the loops set to this position.
    """
    fit = loops["fit_loop"]
    is_inside = position.batch > 0
    epochs, batches = fit["epoch_progress"], fit["epoch_loop.batch_progress"]
    for tracker in ("total", "current"):
        done = position.epoch
        started = done + 1 if is_inside else done
        epochs[tracker] |= {"ready": started, "started": started, "processed": done, "completed": done}
    total = batches["total"]["completed"]
    batches["total"] = dict.fromkeys(batches["total"], total)
    batches["current"] = dict.fromkeys(batches["current"], position.batch)
    batches["is_last_batch"] = False
    fit["state_dict"]["combined_loader"] = [{"epoch": position.epoch, "given": position.batch}]


def move_to_epoch_start(fit: dict[str, Any]) -> None:
    """Rewrite the state of a fit loop to stand at the start of the epoch in progress."""
    set_position({"fit_loop": fit}, Position(fit["epoch_progress"]["current"]["processed"]))


def set_global_step_of_state(loops: dict[str, Any], steps: int) -> None:
    """Rewrite the count of optimizer steps in the state of the loops; the counts before stay as they are."""
    fit, key = loops["fit_loop"], "epoch_loop.automatic_optimization.optim_progress"
    optimizer = fit[key]["optimizer"]
    step = {**optimizer["step"], "total": {"ready": steps, "completed": steps}}
    fit[key] = {**fit[key], "optimizer": {**optimizer, "step": step}}
