"""Keep the losses and probabilities of epochs until their metrics are computed, since that waits for the device."""

import torch
from torch import Tensor

from copycat.models.classifier import Classifier
from copycat.models.metrics import Row, concatenate


class MetricsBuffer:
    """Keep the training losses and probabilities of all trials of a pack."""

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
        self.nbytes = 0
        """Bytes of the probabilities."""

    def add(self, losses: Tensor, probability: Tensor, label: Tensor) -> None:
        """Keep a step.

        Shape:
            losses [trials], probability [trials, B] or [trials, B, classes], label [B] or [trials, B].
        """
        self.losses.append(losses)
        self._probabilities.append(probability)
        self._labels.append(label)
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
        label = torch.stack([self._join_labels(s) for s in starts])
        if label.ndim == 2:
            label = label[:, None].expand(-1, trials, -1)
        rows = classifier.compute_rows(
            losses.transpose(1, 2).reshape(epochs * trials, self.steps),
            [labels.shape[-1] for labels in self._labels[: self.steps]],
            probability.flatten(0, 1),
            label.flatten(0, 1),
        )
        return losses, rows

    def _join_labels(self, start: int) -> Tensor:
        pieces = self._labels[start : start + self.steps]
        return concatenate(pieces).cpu() if pieces[0].ndim == 1 else torch.cat(pieces, 1).cpu()
