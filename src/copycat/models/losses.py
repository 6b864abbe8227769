"""Losses: what logits and labels cost, and how logits become probabilities.

Labels are int64 [B] or, of images that were mixed, float [B, classes]: each class's share. A class's share of what an
image costs has that class's factor, where classes are weighted.

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
    """Args:
    weight: factor of each class, by label; None weighs all alike.
    reduction: `mean` or `sum` over the batch.
    """

    weight: Tensor | None

    def __init__(self, *, weight: Sequence[float] | None = None, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else torch.tensor(weight), persistent=False)
        self.reduction = reduction

    @staticmethod
    @abstractmethod
    def out_features(classes: int) -> int:
        """Logits that a network must give for so many classes.

        Raises:
            ValueError: where the loss cannot tell so many classes apart.
        """

    @abstractmethod
    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """[B, out_features] float and labels, [B] int64 or [B, classes] float -> scalar."""

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """[B, out_features] -> [B] of class 1 where there are two classes, else [B, classes]."""

    def class_weights(self, label: Tensor) -> Tensor | None:
        """[B, 1] factors of a batch's labels, [B] int64."""
        return None if self.weight is None else self.weight[label][:, None]

    def weighted(self, share: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, classes] shares, each times its class's factor and then brought to a sum of 1; and those sums, [B, 1].

        A loss that is linear in shares costs so what it would with a factor for each class's share.
        """
        if self.weight is None:
            return share, None
        share = share * self.weight
        factor = share.sum(1, keepdim=True)
        return share / factor, factor


def hard(label: Tensor) -> Tensor:
    """[B] int64 as they are, or [B, classes] shares -> [B] int64, the class of the largest."""
    return label.argmax(1) if label.is_floating_point() else label


class Smoothed(Loss):
    """Args:
    label_smoothing: share of each label that goes to all classes alike, as it is trained; validation leaves labels.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, section 7.
    """

    def __init__(
        self, *, weight: Sequence[float] | None = None, reduction: Reduction = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(weight=weight, reduction=reduction)
        self.label_smoothing = label_smoothing

    @property
    def smoothing(self) -> float:
        """As things are: none in evaluation mode."""
        return self.label_smoothing if self.training else 0.0


class BCEWithLogits(Smoothed):
    """Binary cross-entropy on one logit: stable where a sigmoid would round to 0 or 1."""

    @staticmethod
    def out_features(classes: int) -> int:
        if classes != 2:
            raise ValueError(f"expected 2 classes; got {classes}. Type loss=cross_entropy")
        return 1

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        target, factor = self.targets(label, logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, target, factor, reduction=self.reduction)

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()[:, 0]

    def targets(self, label: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """[B, 1] shares of class 1, and [B, 1] factors."""
        soft = label.is_floating_point()
        target = (label[:, 1:] if soft else label[:, None]).to(dtype)
        if smoothing := self.smoothing:
            target = target * (1 - smoothing) + smoothing / 2
        if self.weight is None or not (soft or smoothing):
            return target, self.class_weights(label)
        share, factor = self.weighted(torch.cat([1 - target, target], dim=1))
        return share[:, 1:], factor


class BCE(BCEWithLogits):
    """The lecture's: a sigmoid, then nn.BCELoss on the probability, with its bits.

    nn.BCELoss clamps log at -100, so outputs of exactly 0 and 1 cost at most 100.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        target, factor = self.targets(label, logits.dtype)
        probability = logits.sigmoid()
        if probability.device.type == "cpu":
            with suppress(RuntimeError):  # one is nan, which torch refuses here
                return F.binary_cross_entropy(probability, target, factor, reduction=self.reduction)
        # on CUDA nan would end all that the process does there; now it comes by the sum, of each trial of a pack alone
        number = probability.nan_to_num(0.5)
        return F.binary_cross_entropy(number, target, factor, reduction=self.reduction) + 0 * probability.sum()


class MSE(Loss):
    """Squared error against the label, or against one-hot labels for more than two classes.

    The output is taken as it is (regression): as a probability it is clamped to [0, 1]. Against a mixed label it is the
    mixed errors but for what no output changes.
    """

    @staticmethod
    def out_features(classes: int) -> int:
        return 1 if classes == 2 else classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        target, weight = self.targets(label, logits)
        if weight is None:
            return F.mse_loss(logits, target, reduction=self.reduction)
        error = weight * (logits - target) ** 2
        return error.mean() if self.reduction == "mean" else error.sum()

    def targets(self, label: Tensor, logits: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, out_features] numbers that outputs should be, and [B, 1] factors."""
        single = logits.shape[1] == 1
        if label.is_floating_point():
            share, factor = self.weighted(label.to(logits.dtype))
            return (share[:, 1:] if single else share), factor
        target = label[:, None] if single else F.one_hot(label, logits.shape[1])
        return target.to(logits.dtype), self.class_weights(label)

    def probability(self, logits: Tensor) -> Tensor:
        p = logits.clamp(0, 1)
        return p[:, 0] if p.shape[1] == 1 else p


class CrossEntropy(Smoothed):
    """Softmax cross-entropy, one logit a class."""

    @staticmethod
    def out_features(classes: int) -> int:
        return classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        if not label.is_floating_point():
            return F.cross_entropy(logits, label, self.weight, reduction=self.reduction, label_smoothing=self.smoothing)
        share = label.to(logits.dtype)
        cost = F.cross_entropy(logits, share, self.weight, reduction="sum", label_smoothing=self.smoothing)
        if self.reduction == "sum":
            return cost
        # torch divides by the count of images here, and by their factors where labels are numbers
        return cost / (len(label) if self.weight is None else (share * self.weight).sum())

    def probability(self, logits: Tensor) -> Tensor:
        p = logits.softmax(1)
        return p[:, 1] if p.shape[1] == 2 else p


class ByClasses(Smoothed):
    """Stand in a configuration for the loss that suits the number of classes, until that is known."""

    @staticmethod
    def for_classes(classes: int) -> type[Loss]:
        return BCE if classes == 2 else CrossEntropy
