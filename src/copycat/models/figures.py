"""The metrics of one stage (train, val or test), by torchmetrics."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection, SumMetric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

NAMES = ("accuracy", "precision", "recall", "f1", "auroc")


def scores(classes: int) -> MetricCollection:
    """Accuracy, precision, recall, F1 and AUROC; macro averages where there are more than two classes.

    With two classes the positive one is class 1, and a probability above 0.5 says so.
    """
    if classes == 2:
        metrics: list[Metric] = [
            BinaryAccuracy(validate_args=False),
            BinaryPrecision(validate_args=False),
            BinaryRecall(validate_args=False),
            BinaryF1Score(validate_args=False),
            BinaryAUROC(validate_args=False),
        ]
    else:
        metrics = [
            MulticlassAccuracy(classes, average="micro", validate_args=False),
            MulticlassPrecision(classes, validate_args=False),
            MulticlassRecall(classes, validate_args=False),
            MulticlassF1Score(classes, validate_args=False),
            MulticlassAUROC(classes, validate_args=False),
        ]
    return MetricCollection(dict(zip(NAMES, metrics, strict=True)))


class Figures(nn.Module):
    """Loss and scores of one stage, over the batches since the last `compute`.

    Args:
        reduction: of the loss: `mean` averages over images, `sum` adds up.
    """

    def __init__(self, stage: str, *, classes: int, reduction: str) -> None:
        super().__init__()
        self.stage, self.classes = stage, classes
        loss = SumMetric() if reduction == "sum" else MeanMetric()
        # in float64 a mean over one batch is that batch's float32 loss, to the bit
        self.loss = loss.set_dtype(torch.float64)
        self.scores = scores(classes)
        self.batches = 0

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Take in a batch: scalar loss, [B] or [B, classes] probabilities, [B] labels."""
        if isinstance(self.loss, MeanMetric):
            self.loss.update(loss.detach(), len(label))
        else:
            self.loss.update(loss.detach())
        self.scores.update(probability.detach(), label)
        self.batches += 1

    def compute(self) -> dict[str, Tensor]:
        """Scalars float32 by name, as `val/accuracy`, and start anew. Without images of every class, no `auroc`."""
        found = {"loss": self.loss.compute(), **self.scores.compute()}
        if self._lacks_a_class():
            del found["auroc"]  # torchmetrics says 0, which reads as a bad score
        self.loss.reset()
        self.scores.reset()
        self.batches = 0
        return {f"{self.stage}/{name}": value.float() for name, value in found.items()}

    def _lacks_a_class(self) -> bool:
        labels = torch.cat(cast(list[Tensor], self.scores["auroc"].target))
        return len(labels.unique()) < self.classes


def columns(stages: Iterable[str], *, several_batches: bool) -> list[str]:
    """Names of the metrics that an epoch may have, `train/loss` first."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *NAMES)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
