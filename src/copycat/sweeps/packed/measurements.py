"""Measure all trials of a pack: losses and metrics, kept until they are computed, and layer statistics."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from copycat.inspection.callbacks.inspector import summary_loggers
from copycat.inspection.callbacks.layer_statistics import GRADIENT, RATE, UPDATE, WEIGHT, layers_with_curves
from copycat.models.classifier import Classifier
from copycat.models.metrics import Row, concatenate
from copycat.sweeps.packed.optimizer import JointOptimizer
from copycat.sweeps.packed.stacked_network import StackedNetwork
from copycat.sweeps.packed.trial_session import TrialSession

CURVE = "weight_norm/"
"""Prefix of the tags of the weights of single layers."""


class MetricsBuffer:
    """Keep training losses and probabilities until their metrics are computed, since that waits for the device."""

    def __init__(self, *, steps: int) -> None:
        """Keep nothing yet; `steps` is the number of steps per epoch."""
        self.steps = steps
        self.clear()

    def clear(self) -> None:
        """Drop what is kept."""
        self.losses: list[Tensor] = []
        """[trials] per step."""
        self._probabilities: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._is_shared = True
        self.nbytes = 0
        """Bytes of the probabilities."""

    def add(self, losses: Tensor, probability: Tensor, label: Tensor, *, shared: bool) -> None:
        """Keep a step.

        Shapes: losses [trials]; probability [trials, B] or [trials, B, classes]; label [B, …] where it is shared, else
        [trials, B, …].
        """
        self.losses.append(losses)
        self._probabilities.append(probability)
        self._labels.append(label)
        self._is_shared = shared
        self.nbytes += probability.nbytes

    def compute_rows(self, classifier: Classifier) -> tuple[Tensor, list[Row]]:
        """Compute the metrics of each epoch.

        Returns:
            Losses [epochs, steps, trials] on the CPU, and a row per epoch and trial, those of an epoch together.
        """
        trials, epochs = len(self.losses[0]), len(self.losses) // self.steps
        losses = torch.stack(self.losses).cpu().view(epochs, self.steps, trials)
        starts = range(0, epochs * self.steps, self.steps)
        probability = torch.stack([torch.cat(self._probabilities[s : s + self.steps], 1) for s in starts])
        is_shared = self._is_shared
        labels = [self._labels[s : s + self.steps] for s in starts]
        label = torch.stack([(concatenate(each) if is_shared else torch.cat(each, 1)).cpu() for each in labels])
        if is_shared:
            label = label[:, None].expand(-1, trials, *label.shape[1:])
        rows = classifier.train_metrics.compute_rows(
            losses.transpose(1, 2).reshape(epochs * trials, self.steps),
            [each.shape[0 if is_shared else 1] for each in labels[0]],
            probability.flatten(0, 1),
            label.flatten(0, 1),
        )
        return losses, rows


class PackStatistics:
    """Measure norms of gradients, updates and weights, as `Statistics` does for one run; all callbacks are equal."""

    def __init__(self, first: TrialSession) -> None:
        """Start without measurements, by the callback of one trial; measure nothing if no logger shows them."""
        self.callback = first.statistics if summary_loggers(first.recorder.loggers) else None
        if self.callback is not None:
            self.callback.start_clock(first.trial.epoch, epochs=first.config["trainer"]["max_epochs"])
        self.images = len(first.data.parts["train"])
        self._epochs: list[int] = []
        self._tables: list[NDArray[np.float32]] = []
        """[trials, tags] per epoch."""
        self._tags: list[str] = []
        self._curves: list[list[str]] = []
        """Layers with curves of their own, by trial."""

    def connect(self, networks: Sequence[nn.Module]) -> None:
        """Measure these networks from now on, in the order of their places in the stack."""
        self._curves = [layers_with_curves(network) for network in networks] if self.callback else []

    def measures(self, epoch: int) -> bool:
        """Return whether to measure an epoch."""
        return self.callback is not None and self.callback.measures(epoch)

    def measure_gradients(self, gradients: Sequence[Tensor], stack: StackedNetwork, optimizers: JointOptimizer) -> None:
        """Measure the gradients of an epoch's last step, [trials, …], before they are clipped."""
        self._rate = optimizers.learning_rates()
        self._gradient = stack.norms(dict(zip(stack.parameters, gradients, strict=True)))
        self._before = [parameter.detach().clone() for parameter in stack.parameters.values()]

    def measure_weights(self, epoch: int, stack: StackedNetwork) -> None:
        """Measure the weights after that step."""
        assert self.callback is not None
        weight, layers = stack.weight_norms(dict.fromkeys(chain(*self._curves)))
        before = zip(stack.parameters.items(), self._before, strict=True)
        update = stack.norms({name: was.sub_(after.detach()) for (name, after), was in before})
        pace = self.callback.epoch_time(epoch + 1, images=self.images)
        like = torch.ones_like(weight)
        columns = {
            RATE: torch.tensor(self._rate),
            GRADIENT: self._gradient,
            UPDATE: torch.where(weight > 0, update / weight, 0.0),
            WEIGHT: weight,
            **{name: like * value for name, value in pace.items()},
            **{f"{CURVE}{name}": norms for name, norms in layers.items()},
        }
        self._tags = list(columns)
        self._epochs.append(epoch)
        self._tables.append(torch.stack([column.float().cpu() for column in columns.values()], dim=1).numpy())

    def write(self, sessions: Sequence[TrialSession], places: Sequence[int]) -> None:
        """Write the measurements since the last write to the loggers of the trials at these places."""
        epochs, tables = self._epochs, self._tables
        self._epochs, self._tables = [], []
        if not epochs:
            return
        tensors = np.stack(tables)
        for place in places:
            own = {f"{CURVE}{name}" for name in self._curves[place]}
            columns = [n for n, tag in enumerate(self._tags) if not tag.startswith(CURVE) or tag in own]
            for logger in summary_loggers(sessions[place].recorder.loggers):
                logger.log_table([self._tags[n] for n in columns], tensors[:, place, columns], steps=epochs)
