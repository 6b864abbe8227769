"""Record one trial of a pack, in the same run folder as a single run has."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from threading import Event
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.config.durations import parse_duration
from copycat.config.printable import Notify
from copycat.inspection.callbacks.layer_statistics import Statistics
from copycat.models.classifier import Stage
from copycat.models.max_pooling import pool_in_channels_last
from copycat.models.metrics import Row, to_scalar_tensor
from copycat.records.run_folder import write_manifest
from copycat.sweeps.packed.checkpoints import State, TrialCheckpoints
from copycat.sweeps.packed.optimizer import Trainable
from copycat.sweeps.packed.preparation import PackedTrial
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.lazy_scheduler import LazyScheduler
from copycat.training.lightning_internals import Position, check_early_stopping
from copycat.training.recorder import RunRecorder
from copycat.training.result import RunResult
from copycat.training.signals import InterruptedRun
from copycat.training.train import config_content, write_request


class UndefinedMetricError(RuntimeError):
    """Report that a metric on which training depends has no value."""


class TrialSession:
    """Record one trial of a pack, with its own optimizer, callbacks and checkpoints.

    `manifest` is the content of run.json, and `loops` the state of Lightning's loops, both at the start of a run;
    `changes` is a patch of the code's uncommitted changes.
    """

    def __init__(
        self, trial: PackedTrial, manifest: dict[str, Any], *, changes: bytes | None, loops: Mapping[str, Any]
    ) -> None:
        """Make optimizer, scheduler and recorder."""
        self.trial, self.manifest, self.folder, self.changes = trial, manifest, trial.folder, changes
        self.config = config = trial.request.config
        self.recorder = recorder = RunRecorder(self.folder, config=config, components=trial.parts, manifest=manifest)
        self.classifier, self.data = trial.parts.classifier, trial.parts.data
        self.steps_per_epoch = len(self.data.loader("train", shuffle=self.data.shuffle))
        self.accumulation: int = config["trainer"]["accumulate_grad_batches"]
        self.last = next((c for c in recorder.callbacks if isinstance(c, LastCheckpoint)), None)
        self.clock = recorder.last
        max_time = config["trainer"].get("max_time")
        self.budget = None if max_time is None else parse_duration(max_time)
        self.ends_early = False  # whether it ends by its time, with epochs left
        self._final: State | None = None
        self._save_failure: Exception | None = None
        self.is_saved = Event()
        """Whether its last checkpoint is written, once it has ended."""
        self.statistics = next((c for c in recorder.callbacks if isinstance(c, Statistics)), None)
        configured: Any = self.classifier.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = configured["optimizer"]
        schedule = configured["lr_scheduler"]
        self.scheduler: Any = schedule["scheduler"]
        self.span: dict[str, Tensor] = {}
        """Coordinates of the first weights and momenta, in a pack that trains these."""
        self.checkpoints = TrialCheckpoints(recorder, self.optimizer, self.scheduler, loops, span=self.span)
        self.schedules_by_step = schedule["interval"] == "step"
        self.scheduler_monitor = str(schedule.get("monitor")) if isinstance(self.scheduler, ReduceLROnPlateau) else None
        self.trainable = Trainable(
            self.classifier.network,
            self.optimizer,
            LazyScheduler(self.scheduler),
            config=[config["optimizer"], config["scheduler"]],
            chain_kind=trial.chain_kind,
            is_unshared=self.scheduler_monitor is not None,
        )
        self.sync: Callable[[], None] = lambda: None
        """Updates optimizer and scheduler to the present step, which the joint ones of the pack have taken."""
        self.metrics: Row = {}
        """Last value of each metric."""

    def open(self, notify: Notify) -> None:
        """Write the first files of the run folder, or remove records beyond the checkpoint of a resumed run.

        `notify` receives one line per logger that cannot remove its records.
        """
        epoch = self.trial.epoch
        if self.trial.manifest:
            self.recorder.open(partial(write_manifest, manifest=self.manifest), resumes_at=epoch, notify=notify)
        else:
            text = config_content(self.config)
            self.recorder.open(partial(write_request, config=text, manifest=self.manifest, changes=self.changes))
        self.recorder.begin(epoch)

    def restore(self, device: torch.device) -> None:
        """Move to the device, and restore weights, optimizer and counters from the checkpoint."""
        if device.type != "cpu":
            self.classifier.to(device)
            self.data.to_device(device)
        if self.trial.checkpoint is not None and not self.trial.is_placeholder:
            self.metrics = self.checkpoints.restore(self.trial.checkpoint)

    @property
    def depends_on_metrics(self) -> bool:
        """Return whether metrics may end the trial or change its learning rate."""
        return bool(self.trial.pruner or self.checkpoints.early_stops or self.scheduler_monitor)

    @property
    def is_late(self) -> bool:
        """Return whether the trial exceeded its time limit."""
        limit: float | None = self.trial.settings["max_seconds"]
        return limit is not None and self.clock.seconds > limit

    @property
    def is_spent(self) -> bool:
        """Return whether the time of `trainer.max_time` is over; the trials of a pack share it."""
        return self.budget is not None and self.clock.seconds >= self.budget

    def end_epoch(self, epoch: int, *, validated: bool) -> str | None:
        """Step a plateau scheduler and keep the best checkpoint, by an epoch's metrics; return why to stop, or None.

        Raises:
            UndefinedMetricError: where a metric that decides this has had no value in any epoch.
        """
        watched = [self.scheduler_monitor, *(callback.monitor for callback in self.checkpoints.early_stops)]
        for name in watched if validated else ():
            if name is not None and name not in self.metrics:
                raise UndefinedMetricError(f"{name}, which is monitored, has had no defined value")
        if self.scheduler_monitor in self.metrics and (validated or not self.scheduler_monitor.startswith("val/")):
            self.scheduler.step(to_scalar_tensor(self.metrics[self.scheduler_monitor]))
        if not validated:
            return None
        stops: str | None = None
        for callback in self.checkpoints.early_stops:  # Lightning calls checkpoints last, whose states have this epoch
            stop, reason = check_early_stopping(callback, to_scalar_tensor(self.metrics[callback.monitor]))
            if stop:
                callback.stopped_epoch = epoch
                stops = stops or reason or "early stopping"
        best = self.checkpoints.best
        due = best is not None and best.monitor in self.metrics and (epoch + 1) % best.every_n_epochs == 0
        if best is not None and due and best.is_better(to_scalar_tensor(self.metrics[best.monitor])):
            self.checkpoints.new_best = self._state(epoch + 1, finished=False)
        return stops

    def save(self, epoch: int) -> None:
        """Write the best checkpoint if there is a new one, and the last.

        Raises:
            DivergedError: if a weight is not finite; the previous checkpoint stays.
        """
        self.checkpoints.write(None if self.last is None else self._state(epoch, finished=False))

    def _steps(self, epoch: int) -> int:
        return epoch * -(-self.steps_per_epoch // self.accumulation)

    def _state(self, epoch: int, *, finished: bool) -> State:
        self.sync()
        return self.checkpoints.make_state(epoch, steps=self._steps(epoch), metrics=self.metrics, finished=finished)

    def detach(self) -> None:
        """Copy the weights out of the stack, where they change as the other trials step."""
        self.classifier.network = deepcopy(self.classifier.network)

    def end(self, status: str, error: str | None, epoch: int) -> Callable[[], RunResult]:
        """Measure the final metrics of a completed trial; return the writer of its last records, after `save_last`.

        Both may be called in any thread.
        """
        last = None
        try:
            if status == "completed":
                if not all(parameter.is_contiguous() for parameter in self.classifier.network.parameters()):
                    self.detach()  # in a padded layer; another layout could change bits when they are measured again
                self._measure()
                if self.ends_early:
                    self.recorder.record_early_end("trainer.max_time", Position(epoch))
                if self.ends_early or (self.last is not None and self.last.every_n_epochs):
                    last = self._state(epoch, finished=not self.ends_early)
        except InterruptedRun:
            raise
        except Exception as failure:
            status, error = "failed", self.recorder.describe(failure)
        self._final = last
        return partial(self._conclude, status, error, epoch)

    def save_last(self) -> None:
        """Write the checkpoint of a trial that ends; `end` has made it."""
        final, self._final = self._final, None
        try:
            self.recorder.writer.become_synchronous()
            self.checkpoints.write(final)
        except Exception as failure:
            self._save_failure = failure
        finally:
            self.is_saved.set()

    def _conclude(self, status: str, error: str | None, epoch: int) -> RunResult:
        """Write the last records; an error fails this trial alone."""
        recorder = self.recorder
        try:
            if self._save_failure is not None:
                raise self._save_failure
            if status == "completed":
                recorder.complete(epoch)
        except Exception as failure:
            status, error = recorder.status_after_failure(failure, status, error)
        try:
            for logger in recorder.loggers:
                logger.finalize({"completed": "success", "pruned": "pruned"}.get(status, "failed"))
        except Exception as failure:
            status, error = recorder.status_after_failure(failure, status, error)
        return recorder.end(status, error, epochs=epoch, steps=self._steps(epoch))

    def _measure(self) -> None:
        pool_in_channels_last(self.classifier.network)
        final, probabilities = Row(), dict[str, Tensor]()
        stages: list[Stage] = ["train", "val", *(["test"] if self.config["test"] else [])]  # type: ignore[list-item]
        for stage in stages:
            row, probabilities[stage] = self.classifier.measure(stage, self.data.loader(stage))
            final |= row
        del probabilities["train"]
        self.recorder.record_final_metrics(final, probabilities)
