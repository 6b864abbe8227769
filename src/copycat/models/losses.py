"""Define the packaged losses. A loss of your own is a subclass of `Loss`, named by `_target_`."""

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor
from torch.nn import functional as F

from copycat.models.loss_base import LabelSmoothingLoss, Loss, Reduction

__all__ = [
    "BCE",
    "MSE",
    "BCEWithLogits",
    "ByClasses",
    "CrossEntropy",
    "Focal",
    "LabelSmoothingLoss",
    "Loss",
    "MultiLabel",
    "Reduction",
]


class BCEWithLogits(LabelSmoothingLoss):
    """Compute the binary cross-entropy of one logit, stable where a sigmoid would round to 0 or 1."""

    @staticmethod
    def out_features(classes: int) -> int:
        """Return 1; other than two classes are refused."""
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
        if self.class_weights is None or not (soft or smoothing):
            return target, self.image_weights(label)
        share, factor = self.weighted(torch.cat([1 - target, target], dim=1))
        return share[:, 1:], factor


class BCE(BCEWithLogits):
    """Compute the lecture's loss: nn.BCELoss of a sigmoid's probability, with the same bits.

    nn.BCELoss clamps the logarithm at -100, so the loss of a probability of exactly 0 or 1 is at most 100.
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch; nan where a logit is nan."""
        return self._compare(logits.sigmoid(), label)

    def with_probability(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch and its probabilities of class 1, from one sigmoid."""
        probability = logits.sigmoid()
        return self._compare(probability, label), probability.detach()[:, 0]

    def _compare(self, probability: Tensor, label: Tensor) -> Tensor:
        target, factor = self.targets(label, probability.dtype)
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
        return target.to(logits.dtype), self.image_weights(label)

    def probability(self, logits: Tensor) -> Tensor:
        """Return the outputs, clamped to [0, 1]: [B] of class 1 for one output, else [B, classes]."""
        p = logits.clamp(0, 1)
        return p[:, 0] if p.shape[1] == 1 else p


class CrossEntropy(LabelSmoothingLoss):
    """Compute the softmax cross-entropy of one logit per class."""

    @staticmethod
    def out_features(classes: int) -> int:
        """Return the number of classes."""
        return classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch."""
        if not label.is_floating_point():
            return F.cross_entropy(
                logits, label, self.class_weights, reduction=self.reduction, label_smoothing=self.smoothing
            )
        share = label.to(logits.dtype)
        cost = F.cross_entropy(logits, share, self.class_weights, reduction="sum", label_smoothing=self.smoothing)
        if self.reduction == "sum":
            return cost
        # torch divides by the number of images for soft labels, and by the sum of their weights for hard ones
        return cost / (len(label) if self.class_weights is None else (share * self.class_weights).sum())

    def denominator(self, label: Tensor) -> Tensor:
        """Return the sum of the labels' class weights for `mean`; the number of images without class weights."""
        return self.summed_class_weights(label)

    def probability(self, logits: Tensor) -> Tensor:
        """Return the softmax: [B] of class 1 for two classes, else [B, classes]."""
        p = logits.softmax(1)
        return p[:, 1] if p.shape[1] == 2 else p


class Focal(LabelSmoothingLoss):
    """Compute the focal loss: cross-entropy in which well classified images cost less.

    A class's share q of an image's label costs -w q (1 - p)^gamma log p, where p is the predicted probability of the
    class and w its class weight, the source's alpha. The mean is that of BCEWithLogits for two classes, and that of
    CrossEntropy for more: by images there, by their class weights here.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 5.
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        class_weights: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        """Create the loss; see the class."""
        super().__init__(class_weights=class_weights, reduction=reduction, label_smoothing=label_smoothing)
        self.gamma = gamma

    @staticmethod
    def out_features(classes: int) -> int:
        """Return 1 for two classes, else the number of classes."""
        return 1 if classes == 2 else classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch."""
        single = logits.shape[1] == 1
        log_p = -F.softplus(torch.cat([logits, -logits], dim=1)) if single else logits.log_softmax(1)
        # F.one_hot looks at the labels, which a captured step cannot
        classes = torch.arange(log_p.shape[1], device=label.device)
        share = label if label.is_floating_point() else (label[:, None] == classes).to(log_p.dtype)
        weight = 1 if self.class_weights is None else self.class_weights
        smoothed = share * (1 - self.smoothing) + self.smoothing / log_p.shape[1]
        # -expm1(log p) is 1 - p without cancellation; below gamma 1, the power has no finite gradient at 0
        rest = (-log_p.expm1()).clamp(min=torch.finfo(log_p.dtype).tiny)
        cost = -(weight * smoothed * rest**self.gamma * log_p).sum()
        if self.reduction == "sum":
            return cost
        return cost / (len(label) if single or self.class_weights is None else (share * self.class_weights).sum())

    def denominator(self, label: Tensor) -> Tensor:
        """Return the number of images of two classes, else the sum of the labels' class weights, for `mean`."""
        two = self.class_weights is not None and len(self.class_weights) == 2
        return super().denominator(label) if two else self.summed_class_weights(label)

    def probability(self, logits: Tensor) -> Tensor:
        """Return the sigmoid [B] of one logit, else the softmax [B, classes]."""
        return logits.sigmoid()[:, 0] if logits.shape[1] == 1 else logits.softmax(1)


class MultiLabel(LabelSmoothingLoss):
    """Compute the mean over classes of the binary cross-entropy of one logit per class, each with a sigmoid of its own.

    For images that may have several classes, or none. A class weight multiplies the cost of the class's images alone,
    as `pos_weight` of nn.BCEWithLogitsLoss does. Label smoothing moves each target toward 0.5.
    """

    is_multi_label = True

    @staticmethod
    def out_features(classes: int) -> int:
        """Return the number of classes."""
        return classes

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch; the reduction `sum` sums over the images, not the classes."""
        target = label.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.class_weights, reduction="none")
        of_images = each.mean(1)
        return of_images.mean() if self.reduction == "mean" else of_images.sum()

    def probability(self, logits: Tensor) -> Tensor:
        """Return the probability of each class, [B, classes]."""
        return logits.sigmoid()


class ByClasses(LabelSmoothingLoss):
    """Represent the default loss in a configuration, until the classes are known."""

    @staticmethod
    def for_classes(classes: int, *, multi_label: bool = False) -> type[Loss]:
        """Return the default loss: BCE for two classes, cross-entropy for more, MultiLabel for several an image."""
        return MultiLabel if multi_label else BCE if classes == 2 else CrossEntropy
