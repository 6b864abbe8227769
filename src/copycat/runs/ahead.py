"""Many optimizer steps inside one step of the Trainer: what it does for each of them is done for all of them at once.

As an epoch begins, this trains on, over epochs where nobody needs the Trainer between them, up to the last step of one;
that step, and what comes after it, is the Trainer's own. Bits, rows, checkpoints and the callbacks' epochs are those
that single steps give.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.models.classifier import Classifier, diverged
from copycat.models.metrics import Row, Steps
from copycat.runs.averaging import Averaging
from copycat.runs.checkpoints import LastCheckpoint
from copycat.runs.limits import Limiter
from copycat.runs.position import Position, of
from copycat.runs.schedules import Schedule
from copycat.runs.seeds import StepSeeds
from copycat.runs.traced import Traced, is_plain
from copycat.runs.watching import Watching, watching

log = logging.getLogger(__name__)
AT_ONCE = 0.5
"""Seconds of steps that are taken at once where the configuration leaves it open."""
TRACED_AFTER, TRACED_FOR = 100, 1000
"""Steps from which on they are replayed, of at least so many: to trace one takes as long as 500 replays save."""
LOOK = 0.05
"""Seconds between two looks at signals, limits and the progress bar."""


class StepsAhead(pl.Callback):
    """Args:
    steps: at most, between two looks of the others; None: as many as take a moment.
    """

    def __init__(
        self,
        *,
        steps: int | None,
        data: DataModule,
        seeds: StepSeeds,
        last: LastCheckpoint,
        limiter: Limiter,
    ) -> None:
        self.steps, self.data, self.seeds, self.last, self.limiter = steps, data, seeds, last, limiter
        self.watching: Watching | None = None
        self._rows: list[Steps] = []
        self._validated: dict[int, Row] = {}
        self._first_row = 0
        self._open = Steps()
        self._at = Position(0)
        self._runs = False

    def enable(self, trainer: pl.Trainer, classifier: Classifier) -> None:
        """Take the steps over that nobody else needs to see; where something must see each, say so and take none."""
        found = watching(trainer, self.data, classifier)
        if isinstance(found, str):
            log.info("steps are taken one by one: %s", found)
            return
        self.data.place(trainer.strategy.root_device)
        loader = self.data.loader("train", shuffle=self.data.shuffle)
        assert isinstance(loader, MemoryLoader)
        self.watching, self.loader = found, loader
        batches, window = len(loader), trainer.accumulate_grad_batches
        self.data.left_to_trainer = batches % window or window if batches > window else batches
        self.last.ahead = self

    def goes_along(self) -> bool:
        """With itself."""
        return True

    # ----- the Trainer's side

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.watching is None:
            return
        assert isinstance(pl_module, Classifier)
        self.module, self.trainer = pl_module, trainer
        self.optimizer, self.network = trainer.optimizers[0], pl_module.network
        schedules = [(c, Schedule(c.scheduler)) for c in trainer.lr_scheduler_configs if not c.reduce_on_plateau]
        self.by_step = [(schedule, c.frequency) for c, schedule in schedules if c.interval == "step"]
        self.by_epoch = [(schedule, c.frequency) for c, schedule in schedules if c.interval == "epoch"]
        self.trained: list[torch.nn.Parameter] = []
        self.replay: Traced | None = None
        to_come = ((trainer.max_epochs or 0) - trainer.current_epoch) * len(self.loader)
        self._replays = to_come >= TRACED_FOR and trainer.accumulate_grad_batches == 1
        self.others = [callback for callback in self.watching.ours if callback not in (self.seeds, self)]
        self.lookers = [callback for callback in self.others if hasattr(callback, "look")]
        self.averaging = next((callback for callback in self.others if isinstance(callback, Averaging)), None)
        self.measurers: list[Any] = [callback for callback in self.others if hasattr(callback, "measures")]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.watching is None:
            return
        self._look_at_network()
        start, self.last.start = self.last.start or Position(trainer.current_epoch), None
        try:
            self._run(start)
        finally:
            self.seeds.ahead = self.module.ahead = len(self.loader) - (self.data.left_to_trainer or 0)

    def _look_at_network(self) -> None:
        """See what is trained, and how: a callback may have changed it since the last look."""
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        clears = type(self.optimizer).zero_grad is torch.optim.Optimizer.zero_grad
        self._zero: Callable[[], None] = self._forget if clears else self.optimizer.zero_grad
        before, self.trained = self.trained, [p for p in self.parameters if p.requires_grad]
        if not (self._replays and clears and is_plain(self.network, self.module.loss)):
            self.replay = None
        elif self.replay is None or list(map(id, before)) != list(map(id, self.trained)):
            self.replay = Traced(self._step, after=TRACED_AFTER)

    # ----- the steps

    def _run(self, start: Position) -> None:
        """Train up to the batches that are the Trainer's, of an epoch that is to be."""
        self._at, self._first_row, self._runs = start, start.epoch, True
        now = time.monotonic()
        self._until, self._look = now + AT_ONCE, now
        self._left = self.steps
        first = start.batch
        try:
            while not self._is_trainers(self._at.epoch):
                self._train(first, len(self.loader))
                self._end_epoch()
                first = 0
            self._train(first, len(self.loader) - (self.data.left_to_trainer or 0))
        finally:
            self._runs = False
            self.catch_up()
            self._stand(self._at.epoch)

    def position(self) -> Position:
        """Where training stands."""
        if self._runs:
            return self._at
        found = of(self.trainer)
        inside: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return Position(found.epoch, self.module.ahead + found.batch) if inside.ready > inside.processed else found

    def _is_trainers(self, epoch: int) -> bool:
        """Whether the Trainer is to see the epoch's end."""
        assert self.watching is not None
        if self.trainer.should_stop or epoch + 1 >= (self.trainer.max_epochs or 0) or self.watching.sees(epoch):
            return True
        if self._left is not None:
            return self._left <= len(self.loader)
        return time.monotonic() >= self._until

    def _train(self, first: int, stop: int) -> None:
        """Train on these batches of the epoch."""
        epoch = self._at.epoch
        self.loader.batch_sampler.set_epoch(epoch)
        network, criterion = self.network, self.module.loss
        optimizer, data = self.optimizer, self.data
        window, last = self.trainer.accumulate_grad_batches, len(self.loader) - 1
        clip, open_ = self.trainer.gradient_clip_val, self._open
        algorithm = self.trainer.gradient_clip_algorithm or GradClipAlgorithmType.NORM
        by_step = self.by_step
        augments, seeds = data.augmentation is not None, self.seeds.draws
        losses, probabilities, labels = open_.losses, open_.probabilities, open_.labels
        clock, probability = time.monotonic, criterion.probability
        replay, trained, averaging = self.replay, self.trained, self.averaging
        measurers = [callback for callback in self.measurers if callback.measures(epoch)]
        batch: Any
        for place, batch in enumerate(self.loader.between(first, stop), first):
            if place % window == 0 and clock() >= self._look:
                self._at = Position(epoch, place)
                self._look_around()
                open_ = self._open
                losses, probabilities, labels = open_.losses, open_.probabilities, open_.labels
            if augments:
                batch = data.augmented(batch, epoch)
            if seeds:
                self.seeds.seed(self.trainer, epoch, place)
            image, label = batch["image"], batch["label"]
            if replay is not None and (found := replay(image, label)) is not None:
                loss, said, *gradients = found
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter.grad = gradient
            else:
                logits = network(image)
                loss = criterion(logits, label)
                if place % window == 0:
                    self._zero()
                (loss if window == 1 else loss / window).backward()
                loss, said = loss.detach(), probability(logits.detach())
            losses.append(loss)
            probabilities.append(said)
            labels.append(label)
            if place % window == window - 1 or place == last:
                if place == last:
                    for measurer in measurers:
                        measurer.before_last_step(self.module)
                if clip:
                    self.trainer.precision_plugin.clip_gradients(optimizer, clip, algorithm)
                optimizer.step()
                if averaging is not None:
                    averaging.after_step(network, epoch, last=place == last)
                for schedule, frequency in by_step:
                    if (place + 1) % frequency == 0:
                        schedule.step()
        self._at = Position(epoch, stop)
        if self._left is not None:
            self._left -= stop - first

    def _step(self, image: Tensor, label: Tensor) -> tuple[Tensor | None, ...]:
        """Loss, probabilities and gradients, these in order of memory, as autograd leaves them to optimizers."""
        logits = self.network(image)
        loss: Tensor = self.module.loss(logits, label)
        found = torch.autograd.grad(loss, self.trained, allow_unused=True)
        gradients = [None if gradient is None else gradient.contiguous() for gradient in found]
        return (loss.detach(), self.module.loss.probability(logits.detach()), *gradients)

    def _end_epoch(self) -> None:
        """What comes after an epoch's last step, in the Trainer's order."""
        trainer, epoch = self.trainer, self._at.epoch
        for schedule, frequency in self.by_epoch:
            if (epoch + 1) % frequency == 0:
                schedule.step()
        validates = (epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        if validates and self.watching is not None and self.watching.validates:
            self._check()
            self._stand(epoch)
            with self.averaging.shown(self.network) if self.averaging else nullcontext():
                self.module.validate(self.data.loader("val"))
            self._validated[epoch] = self.module.validated()
        if self.module.waits:  # some of its steps were handed over already
            self._hand_over()
            row = {**self.module.close(), **self._validated.pop(epoch, {})}
            self._log([row])
            self._first_row = epoch + 1
        else:
            self._rows.append(self._open)
            self._open = Steps()
        self._at = Position(epoch + 1)
        is_due = self.last.every_n_epochs and (epoch + 1) % self.last.every_n_epochs == 0
        if validates or is_due or any(callback.measures(epoch) for callback in self.measurers):
            self._tell_others(epoch)

    def _tell_others(self, epoch: int) -> None:
        """Of the epoch's end, and of the next one's start, where a checkpoint may be due."""
        if self.limiter.limits.judge:
            self.catch_up()
        self._stand(epoch, ended=True)
        for callback in reversed(self.others):
            callback.on_train_epoch_end(self.trainer, self.module)
        self._stand(epoch + 1)
        for callback in self.others:
            callback.on_train_epoch_start(self.trainer, self.module)

    def _look_around(self) -> None:
        """Heed signals, limits and checkpoints that are due inside an epoch."""
        self._look = time.monotonic() + (0 if self.last.every_n_steps else LOOK)
        self._check()
        self._stand(self._at.epoch)
        batch = self._at.batch
        for callback in self.others:
            callback.on_train_batch_start(self.trainer, self.module, None, batch)
        if self._open.losses or self._rows:
            for looker in self.lookers:
                looker.look(self._at.epoch, (self._open.losses or self._rows[-1].losses)[-1])

    def _forget(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    # ----- the records

    def catch_up(self) -> None:
        """Write the rows of all epochs that are done, and hand over the steps of one that is not.

        Raises:
            DivergedError: where a loss is not finite; the rows before are written.
        """
        failed = self._failed()
        if failed is not None:
            epoch, batch, loss = failed
            self._at = Position(epoch, batch)
            del self._rows[epoch - self._first_row :]
        if self._rows:
            rows = self.module.close_many(self._rows)
            self.last.close_held(self._first_row, rows, [steps.losses[-1] for steps in self._rows])
            for place, found in self._validated.items():
                if place < self._first_row + len(rows):
                    rows[place - self._first_row] |= found
            self._validated.clear()
            self._rows = []
            self._log(rows)
            self._first_row += len(rows)
        if failed is not None:
            self._open = Steps()
            raise diverged(epoch, batch, loss)
        self._hand_over()

    def _log(self, rows: list[Row]) -> None:
        self.module.log_epochs(self._first_row, rows)

    def _hand_over(self) -> None:
        """Give the steps of an epoch that is not done to who closes it."""
        open_, self._open = self._open, Steps()
        for loss, probability, label in zip(open_.losses, open_.probabilities, open_.labels, strict=True):
            self.module.take(loss, probability, label)

    def _failed(self) -> tuple[int, int, Tensor] | None:
        """The first step whose loss is not finite, with its epoch and batch."""
        epochs = [*self._rows, self._open]
        losses = [loss for epoch in epochs for loss in epoch.losses]
        if not losses:
            return None
        finite = torch.stack(losses).isfinite()
        if finite.all():
            return None
        place = int((~finite).nonzero()[0])
        for epoch, steps in enumerate(epochs, self._first_row):
            if place < len(steps.losses):
                handed = self._at.batch - len(steps.losses) if steps is self._open else 0
                return epoch, handed + place, steps.losses[place]
            place -= len(steps.losses)
        raise AssertionError

    def _check(self) -> None:
        if self._failed() is not None:
            self.catch_up()

    def _stand(self, epoch: int, *, ended: bool = False) -> None:
        """Tell the Trainer and the schedulers how far training is, as if it had come there by itself."""
        for schedule, _ in (*self.by_step, *self.by_epoch):
            schedule.settle()
        loop = self.trainer.fit_loop
        trackers: list[Any] = [loop.epoch_progress.current, loop.epoch_progress.total]
        for tracker in trackers:
            tracker.ready = epoch + 1
            tracker.started = tracker.processed = epoch + ended
            tracker.completed = epoch
        window = self.trainer.accumulate_grad_batches
        steps = self._at.epoch * -(-len(self.loader) // window) + self._at.batch // window
        total = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        total.ready = total.completed = loop.epoch_loop._batches_that_stepped = steps
