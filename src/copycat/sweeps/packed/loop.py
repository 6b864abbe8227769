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
from copycat.sweeps.packed.optimizer import Optimizers, clipped, in_kinds
from copycat.sweeps.packed.stacked_network import Stack
from copycat.sweeps.packed.statistics import PackStatistics
from copycat.sweeps.packed.trial import Member
from copycat.training.checkpoints import OF_TIME
from copycat.training.malloc import keep_memory
from copycat.training.progress import Position
from copycat.training.result import Outcome
from copycat.training.signals import Stop

log = logging.getLogger(__name__)
Told = Callable[[Member, Outcome], None]
LOOK = 0.1
"""Seconds between two checks of time limits."""
ROWS = 1.0
"""Minimum seconds between two writes of metrics."""
SAVES = 5.0
"""Minimum seconds between two checkpoints of all trials."""
SHRINKS = 0.75
"""Fraction of active trials at which the stack is rebuilt without the others."""
AT_ONCE = 2**28
"""Maximum bytes of probabilities that wait for metrics to be written."""
KEPT = 2**30
"""Maximum bytes of stacked batches that are cached between epochs."""


class Pack:
    """Train trials of one shape as one stacked network.

    Args:
        members: trials of one shape, at the same epoch.
        device: that trains.
        loops: state of Lightning's loops at the start of a run, for checkpoints.
        stop: tells of signals.
        told: is called with each member that leaves and its outcome.
        pool: writes the last records of members that leave.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        device: torch.device,
        loops: Mapping[str, Any],
        stop: Stop,
        told: Told,
        pool: Executor,
    ) -> None:
        """Stack the trials' networks and join their optimizers."""
        kinds = in_kinds([member.trained for member in members])
        self.members = [members[place] for places in kinds for place in places]
        self.loops, self.stop = loops, stop
        self.told, self.pool = told, pool
        keep_memory()
        self.stack = Stack(
            [member.classifier.network for member in self.members],
            [member.classifier.loss for member in self.members],
            device=device,
        )
        self.first = first = self.members[0]
        self.config = first.config
        self.optimizers = Optimizers([m.trained for m in self.members], self.stack, like=first.classifier.optimizer)
        self._follow()
        self.draws = any(type(module).__name__ == "Dropout" for module in self.stack.skeleton.modules())
        trainer = self.config["trainer"]
        self.window: int = trainer["accumulate_grad_batches"]
        self.clip, self.by_norm = trainer["gradient_clip_val"], trainer["gradient_clip_algorithm"] != "value"
        self.period: int = trainer["check_val_every_n_epoch"]
        self.epochs: int = trainer["max_epochs"]
        self.steps = first.steps_an_epoch
        self.statistics = PackStatistics(self.members, first=first.asked.position.epoch, epochs=self.epochs)
        self._losses: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._sizes: list[int] = []
        self._validated: dict[int, list[Row]] = {}
        self._rows_from = first.asked.position.epoch
        self._kept: dict[str, list[Batch]] = {}
        self._waiting = 0
        now = time.monotonic()
        self._write_at, self._save_at = now + ROWS, now + SAVES
        self._look, self._late = 0.0, False
        self._gone: set[int] = set()
        self._ending: list[tuple[Member, Future[Outcome]]] = []

    @property
    def here(self) -> list[int]:
        """Return the places of the trials that still train."""
        return [place for place in range(len(self.members)) if place not in self._gone]

    def run(self) -> None:
        """Train until all trials have left.

        Raises:
            KeyboardInterrupt: if a signal came; all active trials are saved first.
            InterruptedRun: if a signal could not wait for the end of the epoch.
        """
        epoch = self._rows_from
        # a finished checkpoint: the process was killed after the last save, before it recorded the end
        while self.here and epoch < self.epochs and not self.first.asked.finished:
            self._epoch(epoch)
            ends = self.stop.asked is not None
            validates = (epoch + 1) % self.period == 0
            if validates:
                self._validate(epoch)
            epoch += 1
            if ends or self._must_write(validates=validates, epoch=epoch):
                self._write()
            self._settle(epoch, validated=validates)
            if ends:
                self.stop.deaf = True
                self._save(epoch)
                self.interrupt()
            self._tell()
            self._shrink()
        self._leave(dict.fromkeys(self.here, ("completed", None)), epoch)
        self._tell(all_of_them=True)
        if self.stop.asked:
            raise KeyboardInterrupt  # so that no other pack starts

    def _follow(self) -> None:
        """Connect the members to the joint optimizer, which has their optimizers' states."""
        for place, member in enumerate(self.members):
            member.settle = partial(self.optimizers.settle, place)

    # ----- steps

    def _epoch(self, epoch: int) -> None:
        waiting: list[Tensor] = []
        for place, (batch, shared) in enumerate(self._batches("train", epoch)):
            if self.draws:
                seeds = [key("step", self.members[p].config["seed"], epoch, place, 0) for p in range(len(self.members))]
                self.stack.streams.seed(seeds)
            losses, logits, gradients = self.stack.step(batch["image"], batch["label"], shared=shared)
            if self.window > 1:
                gradients = [gradient / self.window for gradient in gradients]
            waiting = [a + b for a, b in zip(waiting, gradients, strict=True)] if waiting else gradients
            if (place + 1) % self.window == 0 or place + 1 == self.steps:
                measures = place + 1 == self.steps and self.statistics.measures(epoch)
                if measures:
                    self.statistics.before(waiting, self.stack, self.optimizers)
                if self.clip:
                    waiting = clipped(waiting, self.clip, by_norm=self.by_norm)
                self.optimizers.hand_out(waiting)
                waiting = []
                self.optimizers.step()
                if measures:
                    self.statistics.after(epoch, self.stack)
                if self.first.by_step and self.first.watches is None:
                    self.optimizers.schedule()
            self._losses.append(losses)
            self._probabilities.append(self._probability(logits))
            self._waiting += self._probabilities[-1].nbytes
            self._labels.append(batch["label"])
            if len(self._sizes) < self.steps:
                self._sizes.append(batch["label"].shape[-1])
        if not self.first.by_step and self.first.watches is None:
            self.optimizers.schedule()

    def _probability(self, logits: Tensor) -> Tensor:
        """Return class probabilities, [trials, B] or [trials, B, classes]."""
        trials, images = logits.shape[:2]
        found = self.first.classifier.loss.probability(logits.reshape(trials * images, -1))
        return found.reshape(trials, images, *found.shape[1:])

    def _batches(self, part: str, epoch: int) -> Iterator[tuple[Batch, bool]]:
        """Yield batches, and whether a batch is shared by all trials; otherwise it is stacked, [trials, B, …]."""
        train = part == "train"
        loaders: list[Any] = [m.data.loader(part, shuffle=m.data.shuffle and train) for m in self.members]
        for loader in loaders:
            loader.batch_sampler.set_epoch(epoch)
        augments = train and self.first.data.augmentation is not None
        one = all(loader is loaders[0] for loader in loaders)
        if one and not augments:
            for batch in loaders[0].between(0, len(loaders[0])):
                yield batch, True
            return
        moves = augments or loaders[0].batch_sampler.shuffle
        if not moves and (kept := self._kept.get(part)) is not None:
            yield from ((batch, False) for batch in kept)
            return
        stacked: list[Batch] = []
        each = [self._augmented(loader, m, epoch, augments) for loader, m in zip(loaders, self.members, strict=True)]
        for batches in zip(*each, strict=True):
            own: Any = {name: torch.stack([batch[name] for batch in batches]) for name in ("image", "label")}
            yield own, False
            if not moves:
                stacked.append(own)
        if stacked and sum(batch["image"].nbytes for batch in stacked) <= KEPT:
            self._kept[part] = stacked

    def _augmented(self, loader: Any, member: Member, epoch: int, augments: bool) -> Iterator[Any]:
        for batch in loader.between(0, len(loader)):
            yield member.data.augmented(batch, epoch) if augments else batch

    # ----- records

    def _validate(self, epoch: int) -> None:
        metrics: Any = self.first.classifier.metrics["val_"]
        modules = self.stack.skeleton, self.stack.loss, self.first.classifier.loss
        self._validated[epoch], _ = evaluate(self._outputs, self._batches("val", epoch), metrics, modules=modules)

    def _outputs(self, given: tuple[Batch, bool]) -> Outputs:
        batch, shared = given
        losses, logits = self.stack(batch["image"], batch["label"], shared=shared)
        return losses, self._probability(logits), batch["label"].expand(len(self.members), -1)

    def _must_write(self, *, validates: bool, epoch: int) -> bool:
        now = time.monotonic()
        if now > self._look:
            self._look = now + LOOK
            self._late = any(self.members[place].is_late for place in self.here)
        if epoch == self.epochs or self._late or now > self._write_at or self._waiting > AT_ONCE:
            return True
        if now > self._save_at and self._is_due(epoch):
            return True
        judged = any(member.asked.judge for member in self.members)
        stops = any(member.stops or member.watches for member in self.members)
        return (validates and (judged or stops)) or (self.first.watches or "").startswith("train/")

    def _write(self) -> None:
        """Write the metrics of all epochs since the last write; trials with a loss that is not finite leave."""
        began = time.monotonic()
        trials, epochs = len(self.members), len(self._losses) // self.steps
        costs = torch.stack(self._losses).cpu().view(epochs, self.steps, trials)
        at = range(0, epochs * self.steps, self.steps)
        probability = torch.stack([torch.cat(self._probabilities[s : s + self.steps], 1) for s in at])
        label = torch.stack([self._label(s) for s in at])
        if label.ndim == 2:
            label = label[:, None].expand(-1, trials, -1)
        count = self.first.classifier.count
        rows = count(
            costs.transpose(1, 2).reshape(epochs * trials, self.steps),
            self._sizes,
            probability.flatten(0, 1),
            label.flatten(0, 1),
        )
        self.statistics.write(self.members, self.here)
        finite = costs.isfinite().flatten(0, 1)
        first, self._rows_from = self._rows_from, self._rows_from + epochs
        for place in self.here:
            member = self.members[place]
            member.classifier.remember(costs[-1, -1, place])
            own = rows[place::trials]
            for epoch, found in self._validated.items():
                own[epoch - first] = {**own[epoch - first], **found[place]}
            bad = int((~finite[:, place]).nonzero()[0]) if not finite[:, place].all() else None
            if bad is not None:
                own = own[: bad // self.steps]
            if own:
                member.recorder.log(first, own)
                member.metrics |= own[-1]
            if bad is not None:
                epoch, batch = first + bad // self.steps, bad % self.steps
                failure = diverged(epoch, batch, costs[bad // self.steps, batch, place])
                self._leave({place: ("failed", str(failure))}, epoch)
        for records in (self._losses, self._probabilities, self._labels):
            records.clear()
        self._waiting = 0
        now = time.monotonic()
        self._write_at = now + max(ROWS, (now - began) / OF_TIME)

    def _label(self, start: int) -> Tensor:
        pieces = self._labels[start : start + self.steps]
        return joined(pieces).cpu() if pieces[0].ndim == 1 else torch.cat(pieces, 1).cpu()

    # ----- ends of trials

    def _settle(self, epoch: int, *, validated: bool) -> None:
        """End an epoch: apply stopping rules to the metrics, and save checkpoints that are due."""
        found = self._validated.get(epoch - 1) if validated else None
        for place in self.here if found else ():
            assert found is not None
            member = self.members[place]
            member.metrics |= found[place]
            if self._losses:
                member.classifier.remember(self._losses[-1][place])
        verdicts = self._verdicts(epoch, found is not None)
        if not self._losses:  # all metrics are written
            self._validated.clear()
            self._leave(verdicts, epoch)
            if time.monotonic() > self._save_at and self._is_due(epoch) and epoch < self.epochs:
                self._save(epoch)

    def _verdicts(self, epoch: int, validated: bool) -> dict[int, tuple[str, str | None]]:
        found: dict[int, tuple[str, str | None]] = {}
        judging = validated and epoch < self.epochs
        if not (validated or self._late or self.first.watches):
            return found
        for place in self.here:
            member = self.members[place]
            if member.is_late and epoch < self.epochs:
                found[place] = "failed", f"time limit: it took more than {member.asked.settings['max_seconds']:g} s"
            elif member.judge_epoch(epoch - 1, validated=validated):
                found[place] = "completed", None
            elif judging and member.asked.judge and (said := member.asked.judge(epoch - 1, member.metrics)):
                found[place] = "pruned", said
        if self.first.watches:
            self.optimizers.follow()
        return found

    def _is_due(self, epoch: int) -> bool:
        last = self.first.last
        return last is not None and (last.every_seconds is not None or epoch % (last.every_n_epochs or 1) == 0)

    def _save(self, epoch: int) -> None:
        began = time.monotonic()
        for place in self.here:
            member = self.members[place]
            try:
                member.save(Position(epoch), self.loops)
            except (DivergedError, OSError) as failure:
                self._leave({place: ("failed", member.recorder.describe(failure))}, epoch)
        now = time.monotonic()
        self._save_at = now + max(SAVES, (now - began) / OF_TIME)

    def _leave(self, how: Mapping[int, tuple[str, str | None]], epoch: int) -> None:
        """End trials, with the status and the reason of each.

        Raises:
            InterruptedRun: if a signal could not wait; trials without final metrics stay active.
        """
        others = set(self.here) - how.keys()
        ends = []
        try:
            for place, said in how.items():
                member = self.members[place]
                if others:
                    member.part()
                ends.append((member, member.end(*said, Position(epoch), self.loops)))
                self._gone.add(place)
        finally:
            # after all final metrics, since writing threads would slow each of their operations down
            self._ending += [(member, self.pool.submit(end)) for member, end in ends]

    def _tell(self, *, all_of_them: bool = False) -> None:
        """Report trials that ended, once their last records are written."""
        while self._ending and (all_of_them or self._ending[0][1].done()):
            member, ended = self._ending.pop(0)
            self.told(member, ended.result())

    def give_up(self, error: str) -> None:
        """End all active trials as failed.

        Raises:
            KeyboardInterrupt: if a signal came too.
        """
        self.stop.deaf = True
        self._leave(dict.fromkeys(self.here, ("failed", error)), self._rows_from)
        self._tell(all_of_them=True)
        if self.stop.asked:
            raise KeyboardInterrupt

    def interrupt(self) -> NoReturn:
        """End all active trials at their last checkpoints.

        Raises:
            KeyboardInterrupt: always, once their records are written.
        """
        self.stop.deaf = True
        self._leave(dict.fromkeys(self.here, ("interrupted", self.stop.asked)), self._rows_from)
        self._tell(all_of_them=True)
        raise KeyboardInterrupt

    def _shrink(self) -> None:
        """Rebuild the stack without ended trials, if they are many and all metrics are written."""
        here = self.here
        if not self._gone or not here or self._losses or len(here) > SHRINKS * len(self.members):
            return
        self.members = [self.members[place] for place in here]
        for member in self.members:
            member.settle()
        self.first, self._gone = self.members[0], set()
        self.stack.keep(here)
        self.optimizers.take([member.trained for member in self.members], self.stack)
        self._follow()
        self._kept.clear()
        log.info("the pack goes on with %s", counted(len(here), "trial"))
