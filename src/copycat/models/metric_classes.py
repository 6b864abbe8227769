"""Define metrics that torchmetrics lacks, or computes otherwise for constant predictions."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix


class BrierScore(Metric):
    """Compute the Brier score: the mean over the images of the squared distance of probabilities from the label.

    With two classes it is the squared difference of the probability of class 1, from 0 to 1; with more, the sum over
    the classes, from 0 to 2.

    Source: Brier 1950, Monthly Weather Review 78, 1; scaled as in scikit-learn.
    """

    higher_is_better = False
    total: Tensor
    images: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        """Start without images."""
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add images: probabilities [N, classes] and labels [N]."""
        distance = (preds.double() - one_hot(target, self.num_classes)).square().sum()
        self.total += distance / 2 if self.num_classes == 2 else distance
        self.images += len(target)

    def compute(self) -> Tensor:
        """Return the score, a scalar."""
        return self.total / self.images


class MatthewsCorrCoef(MulticlassConfusionMatrix):
    """Compute the Matthews correlation coefficient; 0 where all images have, or are predicted as, one class.

    torchmetrics returns other values there for two classes, such as 0.41 for a constant prediction.

    Source: Gorodkin 2004, Comput. Biol. Chem. 28, 367: R_K, for any number of classes.
    """

    is_differentiable = False
    higher_is_better = True

    def compute(self) -> Tensor:
        """Return the coefficient, a scalar."""
        counts = super().compute().double()
        true, predicted, images = counts.sum(1), counts.sum(0), counts.sum()
        covariance = counts.trace() * images - true @ predicted
        variances = (images**2 - true @ true) * (images**2 - predicted @ predicted)
        return covariance / variances.sqrt() if variances > 0 else torch.zeros((), dtype=torch.float64)
