"""Losses: what logits and labels cost, and how logits become probabilities.

A loss of your own is a subclass of `Loss`, named by `_target_`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
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
        """[B, out_features] float and [B] int64 -> scalar."""

    @abstractmethod
    def probability(self, logits: Tensor) -> Tensor:
        """[B, out_features] -> [B] of class 1 where there are two classes, else [B, classes]."""

    def class_weights(self, label: Tensor) -> Tensor | None:
        """[B, 1] factors of a batch's labels."""
        return None if self.weight is None else self.weight[label][:, None]


class BCEWithLogits(Loss):
    """Binary cross-entropy on one logit: stable where a sigmoid would round to 0 or 1."""

    @staticmethod
    def out_features(classes: int) -> int:
        if classes != 2:
            raise ValueError(f"expected 2 classes; got {classes}. Type loss=cross_entropy")
        return 1

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        target = label.to(logits.dtype)[:, None]
        return F.binary_cross_entropy_with_logits(logits, target, self.class_weights(label), reduction=self.reduction)

    def probability(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()[:, 0]


class BCE(BCEWithLogits):
    """The lecture's: a sigmoid, then nn.BCELoss on the probability, with its bits.

    nn.BCELoss clamps log at -100, so outputs of exactly 0 and 1 cost at most 100.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        target = label.to(logits.dtype)[:, None]
        return F.binary_cross_entropy(logits.sigmoid(), target, self.class_weights(label), reduction=self.reduction)


class MSE(Loss):
    """Squared error against the label, or against one-hot labels for more than two classes.

    The output is taken as it is (regression): as a probability it is clamped to [0, 1].
    """

    @staticmethod
    def out_features(classes: int) -> int:
        return 1 if classes == 2 else classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        single = logits.shape[1] == 1
        target = (label[:, None] if single else F.one_hot(label, logits.shape[1])).to(logits.dtype)
        weight = self.class_weights(label)
        if weight is None:
            return F.mse_loss(logits, target, reduction=self.reduction)
        error = weight * (logits - target) ** 2
        return error.mean() if self.reduction == "mean" else error.sum()

    def probability(self, logits: Tensor) -> Tensor:
        p = logits.clamp(0, 1)
        return p[:, 0] if p.shape[1] == 1 else p


class CrossEntropy(Loss):
    """Softmax cross-entropy, one logit a class."""

    @staticmethod
    def out_features(classes: int) -> int:
        return classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(logits, label, self.weight, reduction=self.reduction)

    def probability(self, logits: Tensor) -> Tensor:
        p = logits.softmax(1)
        return p[:, 1] if p.shape[1] == 2 else p
