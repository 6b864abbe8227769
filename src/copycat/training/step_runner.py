"""Run the optimizer steps of one epoch in a plain loop, without a Trainer between them."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.loaders import MemoryLoader
from copycat.models.classifier import Classifier
from copycat.models.evaluator import Evaluated, Outputs, collect_outputs, compute_outputs, evaluation_mode
from copycat.training.bare_steps import backward, find_step
from copycat.training.captured_step import CapturedStep, is_capturable
from copycat.training.epoch_buffer import EpochBuffer
from copycat.training.lazy_scheduler import LazyScheduler
from copycat.training.seeds import StepSeeds
from copycat.training.weight_averaging import Averaging

CAPTURE_AFTER, CAPTURE_FROM = 100, 1000
"""Steps before the capture, and minimum number of all steps: a capture costs as much time as 500 replays save."""


class StepRunner:
    """Train on the batches of one epoch."""

    def __init__(
        self,
        trainer: pl.Trainer,
        classifier: Classifier,
        *,
        data: DataModule,
        loader: MemoryLoader,
        seeds: StepSeeds,
        callbacks: Sequence[Any],
        epochs: int,
    ) -> None:
        """Find averaging and measuring callbacks."""
        self.trainer, self.classifier, self.network = trainer, classifier, classifier.network
        self.data, self.loader, self.seeds = data, loader, seeds
        self.schedules: Sequence[tuple[LazyScheduler, int]] = ()
        """Schedulers that step by batch, each with its period in steps."""
        self.averaging = next((callback for callback in callbacks if isinstance(callback, Averaging)), None)
        self.measurers: list[Any] = [callback for callback in callbacks if hasattr(callback, "measures")]
        self.next_pause = 0.0  # time of the next pause, by the monotonic clock
        self._trained: list[torch.nn.Parameter] = []
        self._replay: CapturedStep | None = None
        self._validation: CapturedStep | None = None
        self._is_long = epochs * len(loader) >= CAPTURE_FROM

    def measures(self, epoch: int) -> bool:
        """Return whether a callback measures this epoch."""
        return any(callback.measures(epoch) for callback in self.measurers)

    def inspect_network(self) -> None:
        """Find the optimizer and its parameters again: a callback may have changed them."""
        self.optimizer = self.trainer.optimizers[0]
        self._step = find_step(self.optimizer)
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        clears = type(self.optimizer).zero_grad is torch.optim.Optimizer.zero_grad
        self._zero: Callable[[], None] = self._clear_gradients if clears else self.optimizer.zero_grad
        before, self._trained = self._trained, [p for p in self._parameters if p.requires_grad]
        captures = self._is_long and clears and self.trainer.accumulate_grad_batches == 1
        captures = captures and not self.classifier.compiles
        if not (captures and is_capturable(self.network, self.classifier.loss)):
            self._replay = self._validation = None
        elif self._replay is None or list(map(id, before)) != list(map(id, self._trained)):
            self._replay = CapturedStep(self._compute, after=CAPTURE_AFTER)
            self._validation = CapturedStep(self._compute_outputs, after=CAPTURE_AFTER, has_gradients=False)

    def run(self, epoch: int, first: int, buffer: EpochBuffer, pause: Callable[[int], None]) -> None:
        """Train on the batches of an epoch from `first` on; call `pause` with the next batch where one is due."""
        self.loader.batch_sampler.set_epoch(epoch)
        network, criterion, data = self.network, self.classifier.loss, self.data
        optimizer, step = self.optimizer, self._step
        trained_network = self.classifier.trained_network
        batches, window, clip = len(self.loader), self.trainer.accumulate_grad_batches, self.trainer.gradient_clip_val
        algorithm = self.trainer.gradient_clip_algorithm or GradClipAlgorithmType.NORM
        augments, draws, last = data.augmentation is not None, self.seeds.draws, batches - 1
        steps = buffer.steps
        losses, probabilities, labels = steps.losses, steps.probabilities, steps.labels
        clock = time.monotonic
        replay, trained, averaging, schedules = self._replay, self._trained, self.averaging, self.schedules
        measurers = [callback for callback in self.measurers if callback.measures(epoch)]
        batch: Any
        loss: Any
        for place, batch in enumerate(self.loader.batches(first, batches), first):
            if place % window == 0 and clock() >= self.next_pause:
                pause(place)
                steps = buffer.steps
                losses, probabilities, labels = steps.losses, steps.probabilities, steps.labels
            if augments:
                batch = data.augment(batch, epoch)
            if draws:
                self.seeds.seed(self.trainer, epoch, place)
            image, label = batch["image"], batch["label"]
            if replay is not None and (replayed := replay(image, label)) is not None:
                loss, predicted, *gradients = replayed
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter.grad = gradient
            else:
                loss, predicted = criterion.with_probability(trained_network(image), label)
                if place % window == 0:
                    self._zero()
                backward(loss if window == 1 else loss / window)
                loss = loss.detach()
            losses.append(loss)
            probabilities.append(predicted)
            labels.append(label)
            if place % window == window - 1 or place == last:
                if place == last:
                    for measurer in measurers:
                        measurer.before_last_step(self.classifier)
                if clip:
                    self.trainer.precision_plugin.clip_gradients(optimizer, clip, algorithm)
                step()
                if averaging is not None:
                    averaging.after_step(network, epoch, last=place == last)
                for schedule, frequency in schedules:
                    if (place + 1) % frequency == 0:
                        schedule.step()

    def validate(self, batches: Iterable[Any]) -> Evaluated:
        """Compute the outputs of the network on the batches of a validation."""
        if self._validation is not None and self.averaging is None:
            return collect_outputs(map(self._replay_outputs, batches))
        with self.averaging.applied(self.network) if self.averaging else nullcontext():
            return compute_outputs(self._compute_outputs_of, batches, modules=[])

    def _replay_outputs(self, batch: dict[str, Tensor]) -> Outputs:
        assert self._validation is not None
        replayed: Outputs | None = self._validation(batch["image"], batch["label"])
        return self._compute_outputs_of(batch) if replayed is None else replayed

    def _compute_outputs_of(self, batch: dict[str, Tensor]) -> Outputs:
        return self._compute_outputs(batch["image"], batch["label"])

    def _compute_outputs(self, image: Tensor, label: Tensor) -> Outputs:
        with evaluation_mode([self.network, self.classifier.loss]):
            device = self.trainer.strategy.root_device
            return self.classifier.compute_outputs({"image": image, "label": label}, device=device)

    def _compute(self, image: Tensor, label: Tensor) -> tuple[Tensor | None, ...]:
        """Return loss, probabilities and gradients, these in order of memory, as autograd leaves them to optimizers."""
        logits = self.network(image)
        loss: Tensor = self.classifier.loss(logits, label)
        computed = torch.autograd.grad(loss, self._trained, allow_unused=True)
        gradients = [None if gradient is None else gradient.contiguous() for gradient in computed]
        return (loss.detach(), self.classifier.loss.probability(logits.detach()), *gradients)

    def _clear_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
