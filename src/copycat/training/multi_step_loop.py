"""Run many optimizer steps per Lightning training step. Long, as it is one loop whose hooks share its counters.

Lightning's hooks are called for an epoch only where a callback, a scheduler or the end of the run needs them. Bits,
rows, checkpoints and the callbacks' epochs are those of single steps.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.models.classifier import Classifier
from copycat.models.divergence import divergence_error
from copycat.training import lightning_internals as internals
from copycat.training.checkpoint_template import CheckpointTemplate
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.epoch_buffer import EpochBuffer
from copycat.training.hook_compatibility import Compatibility, check_compatibility, overrides
from copycat.training.lazy_scheduler import LazyScheduler
from copycat.training.lightning_internals import FitLoop, Position
from copycat.training.seeds import StepSeeds
from copycat.training.step_runner import StepRunner
from copycat.training.stopping import Limiter

log = logging.getLogger(__name__)
FLUSH_SECONDS = 0.5  # seconds between two flushes, where the configuration leaves it open
MAX_IMAGES_KEPT = 10_000  # images of a validation whose outputs may be kept until the next flush
PAUSE_SECONDS = 0.05  # seconds between two checks of signals, limits and the progress bar


def install(trainer: pl.Trainer, classifier: Classifier, **settings: Any) -> "MultiStepLoop | None":
    """Install the multi-step loop; where something needs each single step, log its name and change nothing."""
    compatibility = check_compatibility(trainer, settings["data"], classifier)
    if isinstance(compatibility, str):
        log.info("steps are taken one by one: %s", compatibility)
        return None
    loop = MultiStepLoop(trainer, classifier, compatibility, **settings)
    internals.set_fit_loop(trainer, loop)
    return loop


class MultiStepLoop(FitLoop):
    """Train one epoch per `advance`; flush the metrics after at most `steps` steps, or after half a second for None."""

    def __init__(
        self,
        trainer: pl.Trainer,
        classifier: Classifier,
        compatibility: Compatibility,
        *,
        steps: int | None,
        data: DataModule,
        seeds: StepSeeds,
        last: LastCheckpoint,
        limiter: Limiter,
    ) -> None:
        """Move the data to the device, and take over Lightning's limits of epochs."""
        before = internals.get_fit_loop(trainer)
        super().__init__(trainer, min_epochs=before.min_epochs, max_epochs=before.max_epochs)
        self.classifier, self.compatibility, self.steps = classifier, compatibility, steps
        self.data, self.seeds, self.last, self.limiter = data, seeds, last, limiter
        data.to_device(trainer.strategy.root_device)
        loader = data.loader("train", shuffle=data.shuffle)
        assert isinstance(loader, MemoryLoader)
        self.loader, self.batches = loader, len(loader)
        self.buffer = EpochBuffer(classifier, last, Position(0))
        self._has_started = self._has_inspected = False
        self._template: CheckpointTemplate | None = None
        self._calls_hooks = True  # whether hooks were called at the end of the last epoch

    # ----- Lightning's side

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Resume at the start of the epoch in progress: call its hooks again, skip its first batches."""
        internals.move_to_epoch_start(state_dict)
        super().load_state_dict(state_dict, prefix)

    @property
    def done(self) -> bool:
        """Return whether training is over; checked only after hooks, since nothing else changes it."""
        return (self._calls_hooks or self.trainer.should_stop) and super().done

    def run(self) -> None:
        """Train, and log all completed epochs however training ends."""
        try:
            super().run()
        finally:
            if self._has_started:
                try:
                    self.flush()
                finally:
                    self._publish()

    def on_run_start(self) -> None:
        """Collect the hooks once for all epochs: Lightning's own calls of hooks are slow."""
        super().on_run_start()
        trainer = self.trainer
        start, self.last.start = self.last.start or Position(trainer.current_epoch), None
        self._epoch, self._batch = start.epoch, start.batch
        others = [callback for callback in self.compatibility.callbacks if callback is not self.seeds]
        self._runner = StepRunner(
            trainer,
            self.classifier,
            data=self.data,
            loader=self.loader,
            seeds=self.seeds,
            callbacks=others,
            epochs=(self.max_epochs or 0) - start.epoch,
        )
        self._epoch_start = [c.on_train_epoch_start for c in others if overrides(c, "on_train_epoch_start")]
        self._batch_start = [c.on_train_batch_start for c in others if overrides(c, "on_train_batch_start")]
        self._epoch_end = [c.on_train_epoch_end for c in reversed(others) if overrides(c, "on_train_epoch_end")]
        self._find_observed([hook.__self__ for hook in (*self._epoch_start, *self._epoch_end)])
        self._look = [callback.on_progress for callback in others if hasattr(callback, "on_progress")]
        self._schedules: list[LazyScheduler] = []
        self._plan_flush()
        self.buffer = EpochBuffer(self.classifier, self.last, start)
        self._publish()  # the loaded state stands at the start of the epoch, where callbacks may save or end the run
        self._has_started = True

    def _find_observed(self, callbacks: Sequence[Any]) -> None:
        """Find out whether callbacks only observe the ends of epochs, and read losses alone."""
        observed = [getattr(callback, "observes", None) for callback in callbacks]
        self._is_observed = all(names is not None for names in observed)
        read = {name for names in observed for name in names or ()}
        is_small = len(self.data.parts["val"]) <= MAX_IMAGES_KEPT
        self._scores_later = is_small and self._is_observed and read <= {"val/loss"}

    def on_advance_start(self) -> None:
        """Call the start hooks of an epoch, where needed."""
        self._is_visible = self._epoch + 1 >= (self.max_epochs or 0) or self.compatibility.sees(self._epoch)
        if self._is_visible:
            self._publish()
            with internals.EndOnOrder():
                super().on_advance_start()
            internals.begin_epoch_loop(self)
        elif self._calls_hooks:
            if not self._is_observed:
                self._publish(ready=1)
            with internals.EndOnOrder():
                for hook in self._epoch_start:
                    hook(self.trainer, self.classifier)
        if self._is_visible or (self._calls_hooks and not self._is_observed) or not self._has_inspected:
            self._has_inspected = True
            self._collect_schedules()
            self._runner.inspect_network()

    def advance(self) -> None:
        """Run all steps of an epoch, and of those after it until one whose end concerns hooks or records."""
        with internals.EndOnOrder():
            self._train_epoch()
            while not self._needs_an_end():
                self._step_schedules()
                self.buffer.end_epoch()
                self._calls_hooks = False
                self._move_on()
                self._train_epoch()

    def on_advance_end(self) -> None:
        """Step the schedulers, validate, and call the end hooks of an epoch, where needed."""
        self._step_schedules()
        if self._is_visible:
            self._end_visible_epoch()
        else:
            self._end_epoch()
        self._move_on()
        if self._calls_hooks:
            self._publish()
        if self._is_flush_due():
            self.flush()
            self._plan_flush()

    # ----- epochs

    def _train_epoch(self) -> None:
        if self.limiter.ends_in(self._epoch):
            self._runner.next_pause = 0.0
        self._runner.run(self._epoch, self._batch, self.buffer, self._pause)
        self._batch = self.batches

    def _needs_an_end(self) -> bool:
        """Return whether hooks must be called, or epochs be logged, at the end of this epoch or before the next one."""
        following = self._epoch + 1
        is_last = following + 1 >= (self.max_epochs or 0)
        if self._is_visible or is_last or self.trainer.should_stop or self.compatibility.sees(following):
            return True
        return self._is_watched(self._epoch) or self._is_flush_due(ahead=self.batches)

    def _is_watched(self, epoch: int) -> bool:
        """Return whether hooks of callbacks that support multi-step execution must be called after an epoch."""
        every = self.last.every_n_epochs
        is_due = every is not None and (epoch + 1) % every == 0
        return is_due or self._validates(epoch) or self._runner.measures(epoch)

    def _validates(self, epoch: int) -> bool:
        return (epoch + 1) % (self.trainer.check_val_every_n_epoch or 1) == 0

    def _step_schedules(self) -> None:
        for schedule, frequency in self._by_epoch:
            if (self._epoch + 1) % frequency == 0:
                schedule.step()

    def _move_on(self) -> None:
        self._epoch, self._batch = self._epoch + 1, 0
        self._taken += self.batches

    # ----- the ends of epochs

    def _end_visible_epoch(self) -> None:
        """Validate and call the hooks as Lightning does."""
        self.flush()
        if not self.seeds.draws:  # otherwise each batch was seeded already
            self.seeds.seed(self.trainer, self._epoch, self.batches - 1)
        self._publish(ready=1, started=1)
        internals.end_epoch_loop(self)
        super().on_advance_end()
        self._template, self._has_inspected = None, False
        self.buffer.start_at(self._epoch + 1)
        self._calls_hooks = True

    def _end_epoch(self) -> None:
        """Validate in memory, and call the hooks of callbacks that support multi-step execution."""
        trainer, epoch = self.trainer, self._epoch
        if self._validates(epoch) and self.compatibility.validates:
            self._check()
            if not (self._is_observed and self._calls_hooks):  # after the epoch before, the position was published
                self._publish(ready=1, started=1)
            self._validate(epoch)
        self.buffer.end_epoch()
        self._calls_hooks = self._is_watched(epoch)
        if self._calls_hooks:
            if self.limiter.limits.pruner:
                self.flush()
            self._publish(ready=1, started=1, processed=1)
            for hook in self._epoch_end:
                hook(trainer, self.classifier)

    def _validate(self, epoch: int) -> None:
        """Evaluate the network; compute its scores with those of later epochs where no hook reads them now."""
        found = self._runner.validate(self.data.loader("val"))
        internals.get_stored_metrics(self.trainer)["val/loss"] = self.classifier.validation_loss(found)
        self.buffer.validated[epoch] = found
        if not self._scores_later:
            self.buffer.score()

    def take_checkpoint(self) -> dict[str, Any]:
        """Return a checkpoint of the current state, to be kept in memory."""
        if self._template is None:
            self._template = CheckpointTemplate(self.trainer)
        return self._template.take()

    # ----- between steps

    def _collect_schedules(self) -> None:
        """Collect the schedulers again: a callback may have changed them."""
        configs = [config for config in self.trainer.lr_scheduler_configs if not config.reduce_on_plateau]
        schedules = [(config.interval, LazyScheduler(config.scheduler), config.frequency) for config in configs]
        self._schedules = [schedule for _, schedule, _ in schedules]
        self._by_epoch = [(schedule, every) for interval, schedule, every in schedules if interval == "epoch"]
        self._runner.schedules = [(schedule, every) for interval, schedule, every in schedules if interval == "step"]

    def _pause(self, batch: int) -> None:
        """Handle signals, limits and checkpoints that are due inside an epoch."""
        each = self.last.every_n_steps or self.limiter.ends_in(self._epoch)
        self._runner.next_pause = time.monotonic() + (0 if each else PAUSE_SECONDS)
        self._batch = batch
        self._check()
        self._publish(ready=1, started=1)
        for hook in self._batch_start:
            hook(self.trainer, self.classifier, None, batch)
        loss = self.buffer.latest_loss()
        if loss is not None:
            for look in self._look:
                look(self._epoch, loss)

    def _publish(self, *, ready: int = 0, started: int = 0, processed: int = 0) -> None:
        """Set Lightning's counters and the schedulers to the current position."""
        for schedule in self._schedules:
            schedule.apply_deferred()
        epoch, batch = self._epoch, self._batch
        internals.set_epoch_progress(self, epoch, ready=ready, started=started, processed=processed)
        is_last = batch == self.batches
        is_inside = 0 < batch < self.batches
        internals.set_batch_progress(self, batch, before=epoch * self.batches, ready=int(is_inside), is_last=is_last)
        window = self.trainer.accumulate_grad_batches
        done = -(-batch // window) if is_last else batch // window
        internals.set_global_step(self, epoch * -(-self.batches // window) + done)

    # ----- the metrics

    def flush(self) -> None:
        """Log all completed epochs, and pass the steps of the one in progress to the classifier.

        Raises:
            DivergedError: where a loss is not finite; the epochs before are logged.
        """
        failure = self.buffer.first_failure()
        if failure is None:
            self.buffer.log()
            self.buffer.hand_over()
            return
        position, loss = failure
        self._epoch, self._batch = position.epoch, position.batch
        self.buffer.drop_from(position.epoch)
        self.buffer.log()
        raise divergence_error(position.epoch, position.batch, loss)

    def _check(self) -> None:
        """Raise where a loss is not finite."""
        if self.buffer.has_failed():
            self.flush()

    def _plan_flush(self) -> None:
        self._taken, self._flush_at = 0, time.monotonic() + FLUSH_SECONDS

    def _is_flush_due(self, *, ahead: int = 0) -> bool:
        """Return whether to flush now, or after so many more steps."""
        if self.steps is not None:
            return self._taken + ahead + self.batches > self.steps
        return time.monotonic() >= self._flush_at
