"""Define losses of logits and labels, and how logits become probabilities.

Labels are int64 [B] or, for mixed images, soft labels: float [B, classes], the share of each class. With class weights,
each class's share of an image's loss is multiplied by the weight of the class.

A loss of your own is a subclass of `Loss`, named by `_target_`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Reduction = Literal["mean", "sum"]


class Loss(nn.Module, ABC):
    """Define a loss and its probabilities; the base class of all losses.

    Args:
        weight: weight of each class, by label; None for equal weights.
        reduction: `mean` or `sum` over the batch.
    """

    weight: Tensor | None

    def __init__(self, *, weight: Sequence[float] | None = None, reduction: Reduction = "mean") -> None:
        """Register the class weights as a buffer, which is not saved."""
        super().__init__()
        self.register_buffer("weight", None if weight is None else torch.tensor(weight), persistent=False)
        self.reduction = reduction

    @staticmethod
    @abstractmethod
    def out_features(classes: int) -> int:
        """Return the number of logits that a network must have for a number of classes.

        Raises:
            ValueError: where the loss does not support that number of classes.
        """

    @abstractmethod
    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch.

        Shapes: [B, out_features] float, and labels [B] int64 or [B, classes] float -> scalar.
        """

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """Return the class probabilities of logits.

        Shapes: [B, out_features] -> [B] of class 1 for two classes, else [B, classes].
        """

    def class_weights(self, label: Tensor) -> Tensor | None:
        """Return the class weights [B, 1] of labels, [B] int64; None without class weights."""
        return None if self.weight is None else self.weight[label][:, None]

    def weighted(self, share: Tensor) -> tuple[Tensor, Tensor | None]:
        """Multiply soft labels by the class weights, and normalize them to a sum of 1.

        A loss that is linear in the labels, times the sums, is the loss with each class's share weighted.

        Returns:
            The normalized shares [B, classes] and their sums [B, 1]; None for the sums without class weights.
        """
        if self.weight is None:
            return share, None
        share = share * self.weight
        factor = share.sum(1, keepdim=True)
        return share / factor, factor


def hard_labels(label: Tensor) -> Tensor:
    """Return hard labels [B] int64: soft labels [B, classes] become the class of the largest share."""
    return label.argmax(1) if label.is_floating_point() else label


class LabelSmoothingLoss(Loss):
    """Smooth labels in training; the base class of losses that support it.

    Args:
        weight: weight of each class, by label; None for equal weights.
        reduction: `mean` or `sum` over the batch.
        label_smoothing: share of each label that is spread over all classes in training; validation has none.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7.
    """

    def __init__(
        self, *, weight: Sequence[float] | None = None, reduction: Reduction = "mean", label_smoothing: float = 0.0
    ) -> None:
        """Create the loss; see the class."""
        super().__init__(weight=weight, reduction=reduction)
        self.label_smoothing = label_smoothing

    @property
    def smoothing(self) -> float:
        """Return the label smoothing of the current mode: 0 in evaluation mode."""
        return self.label_smoothing if self.training else 0.0


class BCEWithLogits(LabelSmoothingLoss):
    """Compute the binary cross-entropy of one logit, stable where a sigmoid would round to 0 or 1."""

    @staticmethod
    def out_features(classes: int) -> int:
        """Return 1.

        Raises:
            ValueError: where there are not two classes.
        """
        if classes != 2:
            raise ValueError(f"expected 2 classes; got {classes}. Type loss=cross_entropy")
        return 1

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch."""
        target, factor = self.targets(label, logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, target, factor, reduction=self.reduction)

    def probability(self, logits: Tensor) -> Tensor:
        """Return the probabilities of class 1: [B, 1] -> [B]."""
        return logits.sigmoid()[:, 0]

    def targets(self, label: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the target probabilities of class 1, [B, 1], and the weights of the images, [B, 1] or None."""
        soft = label.is_floating_point()
        target = (label[:, 1:] if soft else label[:, None]).to(dtype)
        if smoothing := self.smoothing:
            target = target * (1 - smoothing) + smoothing / 2
        if self.weight is None or not (soft or smoothing):
            return target, self.class_weights(label)
        share, factor = self.weighted(torch.cat([1 - target, target], dim=1))
        return share[:, 1:], factor


class BCE(BCEWithLogits):
    """Compute the lecture's loss: nn.BCELoss of a sigmoid's probability, with the same bits.

    nn.BCELoss clamps the logarithm at -100, so the loss of a probability of exactly 0 or 1 is at most 100.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch; nan where a logit is nan."""
        target, factor = self.targets(label, logits.dtype)
        probability = logits.sigmoid()
        if probability.device.type == "cpu":
            with suppress(RuntimeError):  # torch raises for nan here
                return F.binary_cross_entropy(probability, target, factor, reduction=self.reduction)
        # on CUDA nan would abort the process; added by the sum, it fails only its own trial of a pack
        number = probability.nan_to_num(0.5)
        return F.binary_cross_entropy(number, target, factor, reduction=self.reduction) + 0 * probability.sum()


class MSE(Loss):
    """Compute the squared error against the label, or against one-hot labels for more than two classes.

    This is regression: outputs are used without an activation, and clamped to [0, 1] as probabilities. The loss against
    a soft label differs from the mean of the losses against its classes by a constant.
    """

    @staticmethod
    def out_features(classes: int) -> int:
        """Return 1 for two classes, else the number of classes."""
        return 1 if classes == 2 else classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch."""
        target, weight = self.targets(label, logits)
        if weight is None:
            return F.mse_loss(logits, target, reduction=self.reduction)
        error = weight * (logits - target) ** 2
        return error.mean() if self.reduction == "mean" else error.sum()

    def targets(self, label: Tensor, logits: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the target outputs [B, out_features], and the weights of the images, [B, 1] or None."""
        single = logits.shape[1] == 1
        if label.is_floating_point():
            share, factor = self.weighted(label.to(logits.dtype))
            return (share[:, 1:] if single else share), factor
        target = label[:, None] if single else F.one_hot(label, logits.shape[1])
        return target.to(logits.dtype), self.class_weights(label)

    def probability(self, logits: Tensor) -> Tensor:
        """Return the outputs, clamped to [0, 1]: [B] of class 1 for one output, else [B, classes]."""
        p = logits.clamp(0, 1)
        return p[:, 0] if p.shape[1] == 1 else p


class CrossEntropy(LabelSmoothingLoss):
    """Compute the softmax cross-entropy of one logit a class."""

    @staticmethod
    def out_features(classes: int) -> int:
        """Return the number of classes."""
        return classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch."""
        if not label.is_floating_point():
            return F.cross_entropy(logits, label, self.weight, reduction=self.reduction, label_smoothing=self.smoothing)
        share = label.to(logits.dtype)
        cost = F.cross_entropy(logits, share, self.weight, reduction="sum", label_smoothing=self.smoothing)
        if self.reduction == "sum":
            return cost
        # torch divides by the number of images for soft labels, and by the sum of their weights for hard ones
        return cost / (len(label) if self.weight is None else (share * self.weight).sum())

    def probability(self, logits: Tensor) -> Tensor:
        """Return the softmax: [B] of class 1 for two classes, else [B, classes]."""
        p = logits.softmax(1)
        return p[:, 1] if p.shape[1] == 2 else p


class ByClasses(LabelSmoothingLoss):
    """Represent the default loss in a configuration, until the number of classes is known."""

    @staticmethod
    def for_classes(classes: int) -> type[Loss]:
        """Return the default loss of a number of classes: BCE for two, else cross-entropy."""
        return BCE if classes == 2 else CrossEntropy
