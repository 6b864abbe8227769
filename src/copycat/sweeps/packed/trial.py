"""Hold a trial of a pack: its parts, and the same run folder as a single run has."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.config.compose import Request
from copycat.inspection.callbacks.layer_statistics import Statistics
from copycat.models.classifier import Stage
from copycat.models.metrics import Row, to_scalar_tensor
from copycat.records.checkpoint_file import copy, keep_previous
from copycat.records.run_folder import write_manifest
from copycat.records.trial_file import Trial
from copycat.sweeps.engine import Job
from copycat.sweeps.packed.optimizer import Trainable
from copycat.training.best_checkpoint import BestCheckpoint
from copycat.training.checkpoint_io import deep_copy
from copycat.training.checkpoints import BEFORE, CHECKPOINT_KEY, LastCheckpoint
from copycat.training.factory import RunComponents
from copycat.training.lazy_scheduler import LazyScheduler
from copycat.training.lightning_internals import check_early_stopping, set_global_step_of_state, set_position
from copycat.training.progress import Position
from copycat.training.recorder import RunRecorder
from copycat.training.result import RunResult
from copycat.training.signals import InterruptedRun
from copycat.training.stopping import Pruner
from copycat.training.train import config_content, write_request

LIGHTNING = version("pytorch-lightning")


@dataclass
class PackedTrial:
    """Hold a trial that is to run, and its parts as they are built."""

    job: Job
    record: Trial
    folder: Path
    request: Request
    settings: Mapping[str, Any]
    """The node `sweep`."""
    pruner: Pruner | None = None
    parts: RunComponents | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    """Manifest of a run that was started before; empty if it was not."""
    checkpoint: dict[str, Any] | None = None
    """Checkpoint that such a run resumes from; None to start from epoch 0."""

    @property
    def pack(self) -> list[int] | None:
        """Return the numbers of the trials in the pack that started the run; None for a new run."""
        numbers: list[int] | None = self.manifest.get("provenance", {}).get("pack")
        return numbers

    @property
    def finished(self) -> bool:
        """Return whether such a run had ended its training, and only its last records are missing."""
        return self.checkpoint is not None and bool(self.checkpoint[CHECKPOINT_KEY]["finished"])

    @property
    def position(self) -> Position:
        """Return the position at which training starts."""
        return Position(0) if self.checkpoint is None else Position(self.checkpoint[CHECKPOINT_KEY]["epoch"])


class TrialSession:
    """Record one trial of a pack, with its own optimizer, callbacks and checkpoints.

    Args:
        trial: with its parts.
        manifest: content of run.json at the start.
        changes: uncommitted changes of the code, as a patch.
    """

    def __init__(self, trial: PackedTrial, manifest: dict[str, Any], *, changes: bytes | None) -> None:
        """Make optimizer, scheduler and recorder."""
        assert trial.parts is not None
        self.trial, self.manifest, self.folder, self.changes = trial, manifest, trial.folder, changes
        self.config = config = trial.request.config
        self.recorder = recorder = RunRecorder(self.folder, config=config, components=trial.parts, manifest=manifest)
        self.classifier, self.data = trial.parts.classifier, trial.parts.data
        self.steps_per_epoch = len(self.data.loader("train", shuffle=self.data.shuffle))
        self.accumulation: int = config["trainer"]["accumulate_grad_batches"]
        callbacks = recorder.callbacks
        self.last = next((c for c in callbacks if isinstance(c, LastCheckpoint)), None)
        self.best = next((c for c in callbacks if isinstance(c, BestCheckpoint)), None)
        self.early_stops = [c for c in callbacks if type(c) is EarlyStopping]
        self.clock, self.writer = recorder.last, recorder.writer
        self.statistics = next((c for c in callbacks if isinstance(c, Statistics)), None)
        parse_dataclass: Any = self.classifier.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = parse_dataclass["optimizer"]
        schedule = parse_dataclass["lr_scheduler"]
        self.scheduler: Any = schedule["scheduler"]
        self.schedules_by_step = schedule["interval"] == "step"
        self.scheduler_monitor = str(schedule.get("monitor")) if isinstance(self.scheduler, ReduceLROnPlateau) else None
        self.trainable = Trainable(
            self.classifier.network,
            self.optimizer,
            LazyScheduler(self.scheduler),
            config=[config["optimizer"], config["scheduler"]],
            is_unshared=self.scheduler_monitor is not None,
        )
        self.sync: Callable[[], None] = lambda: None
        """Updates optimizer and scheduler to the present step, which the joint ones of the pack have taken."""
        self.metrics: Row = {}
        """Last value of each metric."""
        self._best: dict[str, Any] | None = None

    # ----- run folder

    def open(self, say: Callable[[str], None]) -> None:
        """Write the first files of the run folder, or remove records beyond the checkpoint of a resumed run.

        Args:
            say: receives one line per logger that cannot remove its records.
        """
        epoch = self.trial.position.epoch
        if self.trial.manifest:
            self.recorder.open(partial(write_manifest, manifest=self.manifest), resumes_at=epoch, say=say)
        else:
            text = config_content(self.config)
            self.recorder.open(partial(write_request, config=text, manifest=self.manifest, changes=self.changes))
        self.recorder.begin(epoch)

    def restore(self, device: torch.device) -> None:
        """Move to the device, and restore weights, optimizer and counters from the checkpoint."""
        if device.type != "cpu":
            self.classifier.to(device)
            self.data.to_device(device)
        checkpoint = self.trial.checkpoint
        if checkpoint is None:
            return
        self.classifier.load_state_dict(checkpoint["state_dict"])
        self.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
        self.scheduler.load_state_dict(checkpoint["lr_schedulers"][0])
        self.classifier.on_load_checkpoint(checkpoint)
        for callback in (self.best, *self.early_stops):
            if callback is not None and callback.state_key in checkpoint["callbacks"]:
                callback.load_state_dict(checkpoint["callbacks"][callback.state_key])
        ours = checkpoint[CHECKPOINT_KEY]
        self.clock.add_seconds(ours["seconds"])
        self.metrics = dict(ours["callback_metrics"])

    # ----- training

    @property
    def is_late(self) -> bool:
        """Return whether the trial exceeded its time limit."""
        limit: float | None = self.trial.settings["max_seconds"]
        return limit is not None and self.clock.seconds > limit

    def end_epoch(self, epoch: int, *, validated: bool) -> str | None:
        """Step a plateau scheduler and keep the best checkpoint, by the metrics of an epoch.

        Returns:
            The reason for early stopping, or None.
        """
        if self.scheduler_monitor in self.metrics and (validated or not self.scheduler_monitor.startswith("val/")):
            self.scheduler.step(to_scalar_tensor(self.metrics[self.scheduler_monitor]))
        if not validated:
            return None
        best = self.best
        due = best is not None and best.monitor in self.metrics and (epoch + 1) % best.every_n_epochs == 0
        if best is not None and due and best.is_better(to_scalar_tensor(self.metrics[best.monitor])):
            self._best = self._state(Position(epoch + 1), finished=False)
        for callback in self.early_stops:
            stop, reason = check_early_stopping(callback, to_scalar_tensor(self.metrics[callback.monitor]))
            if stop:
                callback.stopped_epoch = epoch
                return reason or "early stopping"
        return None

    # ----- checkpoints

    def save(self, position: Position, loops: Mapping[str, Any]) -> None:
        """Write the best checkpoint if there is a new one, and the last.

        Raises:
            DivergedError: if a weight is not finite; the previous checkpoint stays.
        """
        self._write(None if self.last is None else self._state(position, finished=False), loops)

    def _write(self, last: dict[str, Any] | None, loops: Mapping[str, Any]) -> None:
        files, disk = self.clock.files, self.writer
        best, self._best = self._best, None
        is_last = last is not None and best is not None and best["epoch"] == last["epoch"]
        if self.best is not None and best is not None and not is_last:
            files.save_checkpoint(self._with_loops(best, loops), self.best.path)
        if last is None:
            return
        for logger in self.recorder.loggers:
            logger.save()
        disk.submit(partial(keep_previous, self.clock.path, self.clock.path.with_name(BEFORE)))
        files.save_checkpoint(self._with_loops(last, loops), self.clock.path)
        if self.best is not None and is_last:
            disk.submit(partial(copy, self.clock.path, self.best.path))

    def _steps(self, position: Position) -> int:
        return position.epoch * -(-self.steps_per_epoch // self.accumulation)

    def _state(self, position: Position, *, finished: bool) -> dict[str, Any]:
        """Copy the present state into the content of a Lightning checkpoint."""
        self.sync()
        callbacks = [callback for callback in (self.best, *self.early_stops) if callback is not None]
        state: dict[str, Any] = {
            "epoch": position.epoch,
            "global_step": self._steps(position),
            "pytorch-lightning_version": LIGHTNING,
            # network and loss alone: the metrics of a classifier have no state, and are slow to ask
            "state_dict": self.classifier.network.state_dict(prefix="network.")
            | self.classifier.loss.state_dict(prefix="loss."),
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.scheduler.state_dict()],
            "callbacks": {callback.state_key: callback.state_dict() for callback in callbacks},
            CHECKPOINT_KEY: self.clock.copycat_state(position, self.metrics, finished=finished),
        }
        self.classifier.on_save_checkpoint(state)
        snapshot: dict[str, Any] = deep_copy(state)
        return snapshot

    def _with_loops(self, state: dict[str, Any], loops: Mapping[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = deep_copy(loops)
        set_position(own, Position(state["epoch"]))
        set_global_step_of_state(own, state["global_step"])
        return {**state, "loops": own}

    # ----- end

    def detach(self) -> None:
        """Copy the weights out of the stack, where they change as the other trials step."""
        self.classifier.network = deepcopy(self.classifier.network)

    def end(
        self, status: str, error: str | None, position: Position, loops: Mapping[str, Any]
    ) -> Callable[[], RunResult]:
        """Measure the final metrics of a completed trial.

        Returns:
            A function that writes the last records, and may run in another thread.
        """
        last = None
        try:
            if status == "completed":
                self._measure(position)
                if self.last is not None and self.last.every_n_epochs:
                    last = self._state(position, finished=True)
        except InterruptedRun:
            raise
        except Exception as failure:
            status, error = "failed", self.recorder.describe(failure)
        return partial(self._conclude, status, error, position, partial(self._write, last, loops))

    def _conclude(self, status: str, error: str | None, position: Position, save: Callable[[], None]) -> RunResult:
        """Write the last records; an error fails this trial alone."""
        recorder = self.recorder
        try:
            self.writer.become_synchronous()
            save()
            if status == "completed":
                recorder.complete(position.epoch)
        except Exception as failure:
            status, error = recorder.status_after_failure(failure, status, error)
        try:
            for logger in recorder.loggers:
                logger.finalize({"completed": "success", "pruned": "pruned"}.get(status, "failed"))
        except Exception as failure:
            status, error = recorder.status_after_failure(failure, status, error)
        return recorder.end(status, error, epochs=position.epoch, steps=self._steps(position))

    def _measure(self, position: Position) -> None:
        final, probabilities = Row(), dict[str, Tensor]()
        stages: list[Stage] = ["train", "val", *(["test"] if self.config["test"] else [])]  # type: ignore[list-item]
        for stage in stages:
            row, probabilities[stage] = self.classifier.measure(stage, self.data.loader(stage))
            final |= row
        del probabilities["train"]
        self.recorder.record_final_metrics(final, probabilities)
