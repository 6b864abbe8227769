"""Train a pack: all its trials step together, and each leaves at its own end."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor

from copycat.config.suggestions import counted
from copycat.data.loaders import Batch
from copycat.data.streams import key
from copycat.models.classifier import DivergedError, diverged
from copycat.models.evaluator import Outputs, evaluate
from copycat.models.metrics import Row, joined
from copycat.sweeps.packed.optimizer import JointOptimizer, clip_gradients, group_by_rule
from copycat.sweeps.packed.stacked_layers import StackedDropout
from copycat.sweeps.packed.stacked_network import StackedNetwork
from copycat.sweeps.packed.statistics import PackStatistics
from copycat.sweeps.packed.trial import TrialSession
from copycat.training.checkpoints import OF_TIME
from copycat.training.malloc import keep_memory
from copycat.training.progress import Position
from copycat.training.result import Outcome
from copycat.training.signals import Stop

log = logging.getLogger(__name__)
OnTrialEnd = Callable[[TrialSession, Outcome], None]
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
MAX_CACHED_BYTES = 2**30
"""Maximum bytes of stacked batches that are cached between epochs."""


class Pack:
    """Train trials of one shape as one stacked network.

    Args:
        sessions: trials of one shape, at the same epoch.
        device: that trains.
        loops: state of Lightning's loops at the start of a run, for checkpoints.
        stop: tells of signals.
        told: is called with each member that leaves and its outcome.
        pool: writes the last records of members that leave.
    """

    def __init__(
        self,
        sessions: Sequence[TrialSession],
        *,
        device: torch.device,
        loops: Mapping[str, Any],
        stop: Stop,
        on_trial_end: OnTrialEnd,
        pool: Executor,
    ) -> None:
        """Stack the trials' networks and join their optimizers."""
        kinds = group_by_rule([session.trainable for session in sessions])
        self.sessions = [sessions[place] for places in kinds for place in places]
        self.loops, self.stop = loops, stop
        self.on_trial_end, self.pool = on_trial_end, pool
        keep_memory()
        self.stack = StackedNetwork(
            [session.classifier.network for session in self.sessions],
            [session.classifier.loss for session in self.sessions],
            device=device,
        )
        self.first = first = self.sessions[0]
        self.config = first.config
        self.optimizers = JointOptimizer(
            [m.trainable for m in self.sessions], self.stack, like=first.classifier.optimizer
        )
        self._connect_optimizers()
        self.has_dropout = any(isinstance(module, StackedDropout) for module in self.stack.skeleton.modules())
        trainer = self.config["trainer"]
        self.accumulation: int = trainer["accumulate_grad_batches"]
        self.clip, self.by_norm = trainer["gradient_clip_val"], trainer["gradient_clip_algorithm"] != "value"
        self.val_interval: int = trainer["check_val_every_n_epoch"]
        self.epochs: int = trainer["max_epochs"]
        self.steps = first.steps_per_epoch
        self.statistics = PackStatistics(self.sessions, first=first.trial.position.epoch, epochs=self.epochs)
        self._losses: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._sizes: list[int] = []
        self._validated: dict[int, list[Row]] = {}
        self._first_unwritten = first.trial.position.epoch
        self._cached_batches: dict[str, list[Batch]] = {}
        self._pending_bytes = 0
        now = time.monotonic()
        self._write_at, self._save_at = now + WRITE_INTERVAL, now + SAVE_INTERVAL
        self._next_time_check, self._is_any_late = 0.0, False
        self._ended: set[int] = set()
        self._ending: list[tuple[TrialSession, Future[Outcome]]] = []

    @property
    def active(self) -> list[int]:
        """Return the places of the trials that still train."""
        return [place for place in range(len(self.sessions)) if place not in self._ended]

    def run(self) -> None:
        """Train until all trials have left.

        Raises:
            KeyboardInterrupt: if a signal came; all active trials are saved first.
            InterruptedRun: if a signal could not wait for the end of the epoch.
        """
        epoch = self._first_unwritten
        # a finished checkpoint: the process was killed after the last save, before it recorded the end
        while self.active and epoch < self.epochs and not self.first.trial.finished:
            self._train_epoch(epoch)
            ends = self.stop.asked is not None
            validates = (epoch + 1) % self.val_interval == 0
            if validates:
                self._validate(epoch)
            epoch += 1
            if ends or self._is_write_due(validates=validates, epoch=epoch):
                self._write_metrics()
            self._end_epoch(epoch, validated=validates)
            if ends:
                self.stop.deaf = True
                self._save(epoch)
                self.interrupt()
            self._report_ended()
            self._shrink()
        self._end_trials(dict.fromkeys(self.active, ("completed", None)), epoch)
        self._report_ended(wait=True)
        if self.stop.asked:
            raise KeyboardInterrupt  # so that no other pack starts

    def _connect_optimizers(self) -> None:
        """Connect the members to the joint optimizer, which has their optimizers' states."""
        for place, session in enumerate(self.sessions):
            session.sync = partial(self.optimizers.sync, place)

    # ----- steps

    def _train_epoch(self, epoch: int) -> None:
        gradient_sum: list[Tensor] = []
        for place, (batch, shared) in enumerate(self._batches("train", epoch)):
            if self.has_dropout:
                seeds = [
                    key("step", self.sessions[p].config["seed"], epoch, place, 0) for p in range(len(self.sessions))
                ]
                self.stack.streams.seed(seeds)
            losses, logits, gradients = self.stack.step(batch["image"], batch["label"], shared=shared)
            if self.accumulation > 1:
                gradients = [gradient / self.accumulation for gradient in gradients]
            gradient_sum = [a + b for a, b in zip(gradient_sum, gradients, strict=True)] if gradient_sum else gradients
            if (place + 1) % self.accumulation == 0 or place + 1 == self.steps:
                measures = place + 1 == self.steps and self.statistics.measures(epoch)
                if measures:
                    self.statistics.measure_gradients(gradient_sum, self.stack, self.optimizers)
                if self.clip:
                    gradient_sum = clip_gradients(gradient_sum, self.clip, by_norm=self.by_norm)
                self.optimizers.set_gradients(gradient_sum)
                gradient_sum = []
                self.optimizers.step()
                if measures:
                    self.statistics.measure_weights(epoch, self.stack)
                if self.first.schedules_by_step and self.first.scheduler_monitor is None:
                    self.optimizers.step_schedulers()
            self._losses.append(losses)
            self._probabilities.append(self._compute_probability(logits))
            self._pending_bytes += self._probabilities[-1].nbytes
            self._labels.append(batch["label"])
            if len(self._sizes) < self.steps:
                self._sizes.append(batch["label"].shape[-1])
        if not self.first.schedules_by_step and self.first.scheduler_monitor is None:
            self.optimizers.step_schedulers()

    def _compute_probability(self, logits: Tensor) -> Tensor:
        """Return class probabilities, [trials, B] or [trials, B, classes]."""
        trials, images = logits.shape[:2]
        found = self.first.classifier.loss.probability(logits.reshape(trials * images, -1))
        return found.reshape(trials, images, *found.shape[1:])

    def _batches(self, part: str, epoch: int) -> Iterator[tuple[Batch, bool]]:
        """Yield batches, and whether a batch is shared by all trials; otherwise it is stacked, [trials, B, …]."""
        train = part == "train"
        loaders: list[Any] = [m.data.loader(part, shuffle=m.data.shuffle and train) for m in self.sessions]
        for loader in loaders:
            loader.batch_sampler.set_epoch(epoch)
        augments = train and self.first.data.augmentation is not None
        is_shared = all(loader is loaders[0] for loader in loaders)
        if is_shared and not augments:
            for batch in loaders[0].between(0, len(loaders[0])):
                yield batch, True
            return
        varies = augments or loaders[0].batch_sampler.shuffle
        if not varies and (cached := self._cached_batches.get(part)) is not None:
            yield from ((batch, False) for batch in cached)
            return
        stacked: list[Batch] = []
        each = [
            self._augment_batches(loader, m, epoch, augments) for loader, m in zip(loaders, self.sessions, strict=True)
        ]
        for batches in zip(*each, strict=True):
            own: Any = {name: torch.stack([batch[name] for batch in batches]) for name in ("image", "label")}
            yield own, False
            if not varies:
                stacked.append(own)
        if stacked and sum(batch["image"].nbytes for batch in stacked) <= MAX_CACHED_BYTES:
            self._cached_batches[part] = stacked

    def _augment_batches(self, loader: Any, session: TrialSession, epoch: int, augments: bool) -> Iterator[Any]:
        for batch in loader.between(0, len(loader)):
            yield session.data.augmented(batch, epoch) if augments else batch

    # ----- records

    def _validate(self, epoch: int) -> None:
        metrics: Any = self.first.classifier.metrics["val_"]
        modules = self.stack.skeleton, self.stack.loss, self.first.classifier.loss
        self._validated[epoch], _ = evaluate(
            self._evaluate_batch, self._batches("val", epoch), metrics, modules=modules
        )

    def _evaluate_batch(self, batch_and_shared: tuple[Batch, bool]) -> Outputs:
        batch, shared = batch_and_shared
        losses, logits = self.stack(batch["image"], batch["label"], shared=shared)
        return losses, self._compute_probability(logits), batch["label"].expand(len(self.sessions), -1)

    def _is_write_due(self, *, validates: bool, epoch: int) -> bool:
        now = time.monotonic()
        if now > self._next_time_check:
            self._next_time_check = now + TIME_LIMIT_INTERVAL
            self._is_any_late = any(self.sessions[place].is_late for place in self.active)
        if epoch == self.epochs or self._is_any_late or now > self._write_at or self._pending_bytes > MAX_PENDING_BYTES:
            return True
        if now > self._save_at and self._is_save_due(epoch):
            return True
        judged = any(session.trial.judge for session in self.sessions)
        stops = any(session.early_stops or session.scheduler_monitor for session in self.sessions)
        return (validates and (judged or stops)) or (self.first.scheduler_monitor or "").startswith("train/")

    def _write_metrics(self) -> None:
        """Write the metrics of all epochs since the last write; trials with a loss that is not finite leave."""
        began = time.monotonic()
        trials, epochs = len(self.sessions), len(self._losses) // self.steps
        costs = torch.stack(self._losses).cpu().view(epochs, self.steps, trials)
        at = range(0, epochs * self.steps, self.steps)
        probability = torch.stack([torch.cat(self._probabilities[s : s + self.steps], 1) for s in at])
        label = torch.stack([self._join_labels(s) for s in at])
        if label.ndim == 2:
            label = label[:, None].expand(-1, trials, -1)
        count = self.first.classifier.count
        rows = count(
            costs.transpose(1, 2).reshape(epochs * trials, self.steps),
            self._sizes,
            probability.flatten(0, 1),
            label.flatten(0, 1),
        )
        self.statistics.write(self.sessions, self.active)
        finite = costs.isfinite().flatten(0, 1)
        first, self._first_unwritten = self._first_unwritten, self._first_unwritten + epochs
        for place in self.active:
            session = self.sessions[place]
            session.classifier.remember(costs[-1, -1, place])
            own = rows[place::trials]
            for epoch, found in self._validated.items():
                own[epoch - first] = {**own[epoch - first], **found[place]}
            bad = int((~finite[:, place]).nonzero()[0]) if not finite[:, place].all() else None
            if bad is not None:
                own = own[: bad // self.steps]
            if own:
                session.recorder.log(first, own)
                session.metrics |= own[-1]
            if bad is not None:
                epoch, batch = first + bad // self.steps, bad % self.steps
                failure = diverged(epoch, batch, costs[bad // self.steps, batch, place])
                self._end_trials({place: ("failed", str(failure))}, epoch)
        for records in (self._losses, self._probabilities, self._labels):
            records.clear()
        self._pending_bytes = 0
        now = time.monotonic()
        self._write_at = now + max(WRITE_INTERVAL, (now - began) / OF_TIME)

    def _join_labels(self, start: int) -> Tensor:
        pieces = self._labels[start : start + self.steps]
        return joined(pieces).cpu() if pieces[0].ndim == 1 else torch.cat(pieces, 1).cpu()

    # ----- ends of trials

    def _end_epoch(self, epoch: int, *, validated: bool) -> None:
        """End an epoch: apply stopping rules to the metrics, and save checkpoints that are due."""
        found = self._validated.get(epoch - 1) if validated else None
        for place in self.active if found else ():
            assert found is not None
            session = self.sessions[place]
            session.metrics |= found[place]
            if self._losses:
                session.classifier.remember(self._losses[-1][place])
        ends_by_place = self._decide_ends(epoch, found is not None)
        if not self._losses:  # all metrics are written
            self._validated.clear()
            self._end_trials(ends_by_place, epoch)
            if time.monotonic() > self._save_at and self._is_save_due(epoch) and epoch < self.epochs:
                self._save(epoch)

    def _decide_ends(self, epoch: int, validated: bool) -> dict[int, tuple[str, str | None]]:
        found: dict[int, tuple[str, str | None]] = {}
        judging = validated and epoch < self.epochs
        if not (validated or self._is_any_late or self.first.scheduler_monitor):
            return found
        for place in self.active:
            session = self.sessions[place]
            if session.is_late and epoch < self.epochs:
                found[place] = "failed", f"time limit: it took more than {session.trial.settings['max_seconds']:g} s"
            elif session.end_epoch(epoch - 1, validated=validated):
                found[place] = "completed", None
            elif judging and session.trial.judge and (reason := session.trial.judge(epoch - 1, session.metrics)):
                found[place] = "pruned", reason
        if self.first.scheduler_monitor:
            self.optimizers.copy_schedules()
        return found

    def _is_save_due(self, epoch: int) -> bool:
        last = self.first.last
        return last is not None and (last.every_seconds is not None or epoch % (last.every_n_epochs or 1) == 0)

    def _save(self, epoch: int) -> None:
        began = time.monotonic()
        for place in self.active:
            session = self.sessions[place]
            try:
                session.save(Position(epoch), self.loops)
            except (DivergedError, OSError) as failure:
                self._end_trials({place: ("failed", session.recorder.describe(failure))}, epoch)
        now = time.monotonic()
        self._save_at = now + max(SAVE_INTERVAL, (now - began) / OF_TIME)

    def _end_trials(self, ends_by_place: Mapping[int, tuple[str, str | None]], epoch: int) -> None:
        """End trials, with the status and the reason of each.

        Raises:
            InterruptedRun: if a signal could not wait; trials without final metrics stay active.
        """
        others = set(self.active) - ends_by_place.keys()
        ends = []
        try:
            for place, status_and_reason in ends_by_place.items():
                session = self.sessions[place]
                if others:
                    session.detach()
                ends.append((session, session.end(*status_and_reason, Position(epoch), self.loops)))
                self._ended.add(place)
        finally:
            # after all final metrics, since writing threads would slow each of their operations down
            self._ending += [(session, self.pool.submit(end)) for session, end in ends]

    def _report_ended(self, *, wait: bool = False) -> None:
        """Report trials that ended, once their last records are written."""
        while self._ending and (wait or self._ending[0][1].done()):
            session, ended = self._ending.pop(0)
            self.on_trial_end(session, ended.result())

    def fail(self, error: str) -> None:
        """End all active trials as failed.

        Raises:
            KeyboardInterrupt: if a signal came too.
        """
        self.stop.deaf = True
        self._end_trials(dict.fromkeys(self.active, ("failed", error)), self._first_unwritten)
        self._report_ended(wait=True)
        if self.stop.asked:
            raise KeyboardInterrupt

    def interrupt(self) -> NoReturn:
        """End all active trials at their last checkpoints.

        Raises:
            KeyboardInterrupt: always, once their records are written.
        """
        self.stop.deaf = True
        self._end_trials(dict.fromkeys(self.active, ("interrupted", self.stop.asked)), self._first_unwritten)
        self._report_ended(wait=True)
        raise KeyboardInterrupt

    def _shrink(self) -> None:
        """Rebuild the stack without ended trials, if they are many and all metrics are written."""
        active = self.active
        if not self._ended or not active or self._losses or len(active) > SHRINK_FRACTION * len(self.sessions):
            return
        self.sessions = [self.sessions[place] for place in active]
        for session in self.sessions:
            session.sync()
        self.first, self._ended = self.sessions[0], set()
        self.stack.keep(active)
        self.optimizers.set_trials([session.trainable for session in self.sessions], self.stack)
        self._connect_optimizers()
        self._cached_batches.clear()
        log.info("the pack goes on with %s", counted(len(active), "trial"))
