"""Train and validate the networks of a pack as one stacked network."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from copycat.config.malloc import keep_memory
from copycat.data.datamodule import DataModule
from copycat.data.loaders import Batch
from copycat.data.streams import derive_seed
from copycat.models.evaluator import Outputs, evaluate
from copycat.models.metrics import Row
from copycat.sweeps.packed.looped_network import LoopedNetwork
from copycat.sweeps.packed.measurements import MetricsBuffer, PackStatistics
from copycat.sweeps.packed.optimizer import JointOptimizer
from copycat.sweeps.packed.span import find_span_images
from copycat.sweeps.packed.trial_session import TrialSession
from copycat.sweeps.packed.unlike_network import UnlikeNetwork, stack_networks

MAX_CACHED_BYTES = 2**30
"""Maximum bytes of stacked batches that are cached between epochs."""


class PackBatches:
    """Load one batch for all trials where they share a loader, else a batch of each, stacked."""

    def __init__(self, modules: Sequence[DataModule], *, augments_once: bool) -> None:
        """Load from the data module of each trial; a batch may be augmented once for trials that share theirs."""
        self.modules = modules
        self._augments_once = augments_once and all(data is modules[0] for data in modules)
        self._cached: dict[str, list[Batch]] = {}

    def load(self, part: str, epoch: int) -> Iterator[tuple[Batch, bool]]:
        """Yield batches, and whether a batch is shared by all trials; otherwise it is stacked, [trials, B, …]."""
        train = part == "train"
        loaders: list[Any] = [data.loader(part, shuffle=data.shuffle and train) for data in self.modules]
        for loader in loaders:
            loader.batch_sampler.set_epoch(epoch)
        augments = train and self.modules[0].augmentation is not None
        if all(loader is loaders[0] for loader in loaders) and not augments:
            yield from ((batch, True) for batch in loaders[0].batches(0, len(loaders[0])))
            return
        if augments and self._augments_once:
            yield from ((self.modules[0].augment(b, epoch), True) for b in loaders[0].batches(0, len(loaders[0])))
            return
        varies = augments or loaders[0].batch_sampler.shuffle
        if not varies and part in self._cached:
            yield from ((batch, False) for batch in self._cached[part])
            return
        stacked: list[Batch] = []
        for loaded in zip(*(loader.batches(0, len(loader)) for loader in loaders), strict=True):
            each = [
                data.augment(batch, epoch) if augments else batch
                for data, batch in zip(self.modules, loaded, strict=True)
            ]
            own: Any = {name: torch.stack([batch[name] for batch in each]) for name in ("image", "label")}
            yield own, False
            if not varies:
                stacked.append(own)
        if stacked and sum(batch["image"].nbytes for batch in stacked) <= MAX_CACHED_BYTES:
            self._cached[part] = stacked


class PackTrainer:
    """Train the trials of a pack, each step of all at once; they are grouped by update rule."""

    def __init__(self, sessions: Sequence[TrialSession], *, device: torch.device) -> None:
        """Stack the trials' networks and join their optimizers."""
        keep_memory()
        first = sessions[0]
        self.stack = stack_networks(
            [session.classifier.network for session in sessions],
            [session.classifier.loss for session in sessions],
            kinds=[session.trial.chain_kind for session in sessions],
            device=device,
            images=_find_span_images(sessions, device),
            states=[session.span for session in sessions],
        )
        self.optimizers = JointOptimizer(
            [session.trainable for session in sessions], self.stack, like=first.classifier.create_optimizer
        )
        trainer = first.config["trainer"]
        self.statistics = PackStatistics(first)
        self.buffer = MetricsBuffer(steps=first.steps_per_epoch)
        self._accumulation: int = trainer["accumulate_grad_batches"]
        self._clip, self._by_norm = trainer["gradient_clip_val"], trainer["gradient_clip_algorithm"] != "value"
        self._has_dropout = self.stack.draws
        self._connect(sessions)

    def keep(self, places: Sequence[int]) -> None:
        """Rebuild the stack with the trials at these places alone."""
        sessions = [self.sessions[place] for place in places]
        for session in sessions:
            session.sync()
        self.stack = self.stack.keep(places)
        self.optimizers.set_trials([session.trainable for session in sessions], self.stack)
        self._connect(sessions)

    def _connect(self, sessions: Sequence[TrialSession]) -> None:
        """Connect the sessions to the joint optimizer, which has their optimizers' states."""
        self.sessions = sessions
        self.statistics.connect(self.stack.networks)
        # a stack of like networks keeps its product, and so its bits
        augments_once = isinstance(self.stack, LoopedNetwork | UnlikeNetwork)
        self.batches = PackBatches([session.data for session in sessions], augments_once=augments_once)
        for place, session in enumerate(sessions):
            session.sync = partial(self.optimizers.sync, place)

    def train_epoch(self, epoch: int) -> None:
        """Take the steps of an epoch, and keep their losses and probabilities in the buffer."""
        with self.stack.threads():
            self._take_steps(epoch)
        if not self.sessions[0].schedules_by_step and self.sessions[0].scheduler_monitor is None:
            self.optimizers.step_schedulers()

    def _take_steps(self, epoch: int) -> None:
        first, steps = self.sessions[0], self.buffer.steps
        gradient_sum: list[Tensor] = []
        for place, (batch, shared) in enumerate(self.batches.load("train", epoch)):
            if self._has_dropout:
                self.stack.streams.seed(
                    [derive_seed("step", session.config["seed"], epoch, place, 0) for session in self.sessions]
                )
            losses, logits, gradients = self.stack.step(batch["image"], batch["label"], shared=shared)
            if self._accumulation > 1:
                gradients = [gradient / self._accumulation for gradient in gradients]
            gradient_sum = [a + b for a, b in zip(gradient_sum, gradients, strict=True)] if gradient_sum else gradients
            is_last = place + 1 == steps
            if is_last or (place + 1) % self._accumulation == 0:
                self._update(gradient_sum, epoch, measures=is_last and self.statistics.measures(epoch))
                gradient_sum = []
                if first.schedules_by_step and first.scheduler_monitor is None:
                    self.optimizers.step_schedulers()
            self.buffer.add(losses, self._compute_probability(logits), batch["label"], shared=shared)

    def _update(self, gradients: Sequence[Tensor], epoch: int, *, measures: bool) -> None:
        """Update the weights of all trials by their gradients, [trials, …]."""
        if measures:
            self.statistics.measure_gradients(gradients, self.stack, self.optimizers)
        if self._clip:
            gradients = self.stack.clip(gradients, self._clip, by_norm=self._by_norm)
        self.optimizers.step(gradients)
        if measures:
            self.statistics.measure_weights(epoch, self.stack)

    def validate(self, epoch: int) -> list[Row]:
        """Return the validation metrics of each trial."""
        classifier = self.sessions[0].classifier
        metrics, modules = classifier.metrics["val"], [*self.stack.modules, self.stack.loss, classifier.loss]
        with self.stack.threads():
            rows, _ = evaluate(self._evaluate_batch, self.batches.load("val", epoch), metrics, modules=modules)
        return rows

    def _evaluate_batch(self, batch_and_shared: tuple[Batch, bool]) -> Outputs:
        batch, shared = batch_and_shared
        label = batch["label"]
        losses, logits = self.stack(batch["image"], label, shared=shared)
        of_trials = label.expand(len(self.sessions), *label.shape) if shared else label
        return losses, self._compute_probability(logits), of_trials

    def _compute_probability(self, logits: Tensor) -> Tensor:
        """Return class probabilities, [trials, B] or [trials, B, classes]."""
        trials, images = logits.shape[:2]
        probability = self.sessions[0].classifier.loss.probability(logits.reshape(trials * images, -1))
        return probability.reshape(trials, images, *probability.shape[1:])


def _find_span_images(sessions: Sequence[TrialSession], device: torch.device) -> Tensor | None:
    """Return the images in whose span first weights stay; None where they do not, or where trials resume without it."""
    first = sessions[0]
    if any(session.trial.checkpoint is not None and not session.span for session in sessions):
        return None
    modules = [each.data for each in sessions]
    return find_span_images(modules, first.optimizer, first.config["trainer"], device=device)
