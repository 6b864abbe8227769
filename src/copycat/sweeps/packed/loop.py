"""Train a pack: all its trials step together, and each leaves at its own end."""

import logging
import time
from collections.abc import Callable

from copycat.config.suggestions import pluralize
from copycat.models.metrics import Row
from copycat.sweeps.packed.active_trials import ActiveTrials
from copycat.sweeps.packed.trainer import PackTrainer
from copycat.training.checkpoints import MAX_SAVING_SHARE
from copycat.training.signals import SignalHandler

log = logging.getLogger(__name__)
TIME_LIMIT_INTERVAL = 0.1
"""Seconds between two checks of time limits."""
WRITE_INTERVAL = 1.0
"""Minimum seconds between two writes of metrics."""
SAVE_INTERVAL = 5.0
"""Minimum seconds between two checkpoints of all trials."""
SHRINK_FRACTION = 0.75
"""Fraction of active trials at which the stack is rebuilt without the others."""
MAX_PENDING_BYTES = 2**28
"""Maximum bytes of probabilities that wait for metrics to be written."""


class Pack:
    """Train trials of one shape until each has ended."""

    def __init__(
        self, trials: ActiveTrials, trainer: PackTrainer, *, stop: SignalHandler, on_epoch: Callable[[int, int], None]
    ) -> None:
        """Start at the epoch of the trials; `on_epoch` is called with each epoch that ends, and their number."""
        self.trials, self.trainer, self.stop, self.on_epoch = trials, trainer, stop, on_epoch
        config = trials.first.config["trainer"]
        self.val_interval: int = config["check_val_every_n_epoch"]
        self.epochs: int = config["max_epochs"]
        self._validated: dict[int, list[Row]] = {}
        self._first_unwritten = trials.first.trial.epoch
        now = time.monotonic()
        self._write_at, self._save_at = now + WRITE_INTERVAL, now + SAVE_INTERVAL
        self._next_time_check, self._is_any_late = 0.0, False

    def run(self) -> None:
        """Train until all trials have left.

        Raises:
            KeyboardInterrupt: if a signal came; all active trials are saved first.
            InterruptedRun: if a signal could not wait for the end of the epoch.
        """
        epoch = self._first_unwritten
        self._shrink(epoch)  # of a pack that was saved in an epoch in which trials ended
        # a finished checkpoint: the process was killed after the last save, before it recorded the end
        while self.trials.places and epoch < self.epochs and not self.trials.first.trial.finished:
            self.trainer.train_epoch(epoch)
            ends = self.stop.received is not None
            validates = (epoch + 1) % self.val_interval == 0
            if validates:
                self._validated[epoch] = self.trainer.validate(epoch)
            epoch += 1
            if ends or self._is_write_due(validates=validates, epoch=epoch):
                self._write_metrics()
            self._end_epoch(epoch, validated=validates)
            if ends:
                self.stop.deferred = True
                self.trials.save(epoch)
                self.abort("interrupted", self.stop.received)
            self.trials.report_ended()
            if validates:  # at epochs that do not depend on the time, as the writes of metrics do
                self._shrink(epoch)
            self.on_epoch(epoch, self.epochs)
        self.trials.end_all("completed", None, epoch)
        if self.stop.received:
            raise KeyboardInterrupt  # so that no other pack starts

    def _is_write_due(self, *, validates: bool, epoch: int) -> bool:
        now = time.monotonic()
        if now > self._next_time_check:
            self._next_time_check = now + TIME_LIMIT_INTERVAL
            self._is_any_late = any(one.is_late or one.is_spent for _, one in self.trials.items())
        if epoch == self.epochs or self._is_any_late or now > self._write_at:
            return True
        if self.trainer.buffer.nbytes > MAX_PENDING_BYTES or self._is_save_due(epoch):
            return True
        if validates and any(session.depends_on_metrics for session in self.trials.sessions):
            return True
        losses = self.trainer.buffer.losses
        if validates and losses and self.trials.has_diverged(losses[-1], self._validated[epoch - 1]):
            return True
        return (self.trials.first.scheduler_monitor or "").startswith("train/")

    def _write_metrics(self) -> None:
        """Write the metrics of all epochs since the last write."""
        began = time.monotonic()
        losses, rows = self.trainer.buffer.compute_rows(self.trials.first.classifier)
        self.trainer.statistics.write(self.trials.sessions, self.trials.places)
        first, self._first_unwritten = self._first_unwritten, self._first_unwritten + len(losses)
        self.trials.record(first, losses, rows, self._validated)
        self.trainer.buffer.clear()
        now = time.monotonic()
        self._write_at = now + max(WRITE_INTERVAL, (now - began) / MAX_SAVING_SHARE)

    def _is_save_due(self, epoch: int) -> bool:
        last = self.trials.first.last
        if last is None or time.monotonic() <= self._save_at:
            return False
        return last.every_seconds is not None or epoch % (last.every_n_epochs or 1) == 0

    def _end_epoch(self, epoch: int, *, validated: bool) -> None:
        """End an epoch: apply stopping rules to the metrics, and save checkpoints that are due."""
        losses = self.trainer.buffer.losses
        if validated:
            for place, session in self.trials.items():
                session.metrics |= self._validated[epoch - 1][place]
                if losses:
                    session.classifier.train_metrics.last_loss = losses[-1][place]
        monitor, ends = self.trials.first.scheduler_monitor, {}
        if validated or self._is_any_late or monitor:
            ends = self.trials.decide_ends(epoch, validated=validated, is_last=epoch == self.epochs)
            if monitor:
                self.trainer.optimizers.copy_schedules()
        if not losses:  # all metrics are written
            self._validated.clear()
            self.trials.end(ends, epoch)
            if epoch < self.epochs and self._is_save_due(epoch):
                began = time.monotonic()
                self.trials.save(epoch)
                now = time.monotonic()
                self._save_at = now + max(SAVE_INTERVAL, (now - began) / MAX_SAVING_SHARE)

    def abort(self, status: str, error: str | None) -> None:
        """End all active trials at their last checkpoints; raise KeyboardInterrupt if a signal came."""
        self.stop.deferred = True
        self.trials.end_all(status, error, self._first_unwritten)
        if self.stop.received:
            raise KeyboardInterrupt

    def _shrink(self, epoch: int) -> None:
        """Rebuild the stack without ended trials, if they are many and all metrics are written."""
        needed = len(self.trials.stacked_places(epoch))
        if self.trainer.buffer.losses or not 0 < needed <= SHRINK_FRACTION * len(self.trials.sessions):
            return
        self.trainer.keep(self.trials.drop_ended(epoch))
        log.info("the pack continues with %s", pluralize(needed, "trial"))
