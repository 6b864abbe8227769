"""Define the base classes of losses of logits and labels, which also convert logits to probabilities.

Labels are int64 [B] or, for mixed images, soft labels: float [B, classes], the share of each class. With class weights,
each class's share of an image's loss is multiplied by the weight of the class. Labels of images that may have several
classes are [B, classes]: int64, 1 for each class of an image, or float for mixed images.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from copycat.config.options import is_ours

Reduction = Literal["mean", "sum"]


class Loss(nn.Module, ABC):
    """Define a loss and its probabilities; the base class of all losses.

    Args:
        class_weights: weight of each class, by label; None for equal weights.
        reduction: `mean` or `sum` over the batch.
    """

    class_weights: Tensor | None
    is_multi_label = False
    """Whether it takes images that may have several classes."""

    def __init__(self, *, class_weights: Sequence[float] | None = None, reduction: Reduction = "mean") -> None:
        """Register the class weights as a buffer, which is not saved."""
        super().__init__()
        weights = None if class_weights is None else torch.tensor([float(weight) for weight in class_weights])
        self.register_buffer("class_weights", weights, persistent=False)
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

        Shapes: [B, out_features] -> [B] of class 1 for two classes, else [B, classes]; of a multi-label loss always
        [B, classes].
        """

    def with_probability(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch and, without gradients, its class probabilities; a loss may share work."""
        return self(logits, label), self.probability(logits.detach())

    def denominator(self, label: Tensor) -> Tensor:
        """Return the denominator of a batch's loss: its images for `mean`, 1 for `sum`; a float64 scalar.

        The loss of a batch that several ranks share is the sum of their losses times their denominators, over the sum
        of the denominators. For a sum over the ranks it is the sum of their losses.
        """
        return torch.tensor(float(len(label) if self.reduction == "mean" else 1), dtype=torch.float64)

    def fixed_denominator(self, images: int) -> float | None:
        """Return the denominator of a batch of so many images; None where it may depend on their labels."""
        if self.class_weights is not None or not is_ours(type(self).denominator.__module__):
            return None
        return float(images) if self.reduction == "mean" else 1.0

    def hard_labels(self, label: Tensor) -> Tensor:
        """Return int64 labels: of mixed images the largest share's class, or all classes of half an image or more."""
        if not label.is_floating_point():
            return label
        return (label >= 0.5).long() if self.is_multi_label else label.argmax(1)

    def image_weights(self, label: Tensor) -> Tensor | None:
        """Return the class weights [B, 1] of labels, [B] int64; None without class weights."""
        return None if self.class_weights is None else self.class_weights[label][:, None]

    def weighted(self, share: Tensor) -> tuple[Tensor, Tensor | None]:
        """Multiply soft labels by the class weights, and normalize them to a sum of 1.

        A loss that is linear in the labels, times the sums, is the loss with each class's share weighted.

        Returns:
            The normalized shares [B, classes] and their sums [B, 1]; None for the sums without class weights.
        """
        if self.class_weights is None:
            return share, None
        share = share * self.class_weights
        factor = share.sum(1, keepdim=True)
        return share / factor, factor


class LabelSmoothingLoss(Loss):
    """Spread a share of each label over all classes in training, none in validation; a base class of losses.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7.
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        """Create the loss; see the class."""
        super().__init__(class_weights=class_weights, reduction=reduction)
        self.label_smoothing = label_smoothing

    @property
    def smoothing(self) -> float:
        """Return the label smoothing of the current mode: 0 in evaluation mode."""
        return self.label_smoothing if self.training else 0.0

    def summed_class_weights(self, label: Tensor) -> Tensor:
        """Return the sum of the class weights of a batch's labels, by which torch's cross-entropy divides."""
        if self.class_weights is None or self.reduction == "sum":
            return Loss.denominator(self, label)
        weights = self.class_weights.double()
        return (label.double() @ weights).sum() if label.is_floating_point() else weights[label].sum()
