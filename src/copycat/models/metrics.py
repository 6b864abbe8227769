"""The metrics of one stage (train, val or test), by torchmetrics."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_stat_scores,
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

NAMES = ("accuracy", "precision", "recall", "f1", "auroc")


def scores(probability: Tensor, label: Tensor, *, classes: int) -> dict[str, Tensor]:
    """Accuracy, precision, recall, F1 and AUROC; macro averages where there are more than two classes.

    With two classes the positive one is class 1, and a probability above 0.5 says so. A ratio of nothing is 0. Where a
    class has no image there is no AUROC: torchmetrics says 0, which reads as a bad score.

    Args:
        probability: [N] of class 1 where there are two classes, else [N, classes].
        label: [N] int64.
    """
    if classes == 2:
        # one pass for four metrics: torchmetrics' own four would count four times
        tp, fp, tn, fn, _ = binary_stat_scores(probability, label, validate_args=False).unbind()
        parts = torch.stack([tp + tn, tp, tp, 2 * tp]).float()
        wholes = torch.stack([tp + fp + tn + fn, tp + fp, tp + fn, 2 * tp + fp + fn]).float()
        found = dict(zip(NAMES, (parts / wholes).nan_to_num(0).unbind(), strict=False))
        if tp + fn > 0 and tn + fp > 0:
            found["auroc"] = binary_auroc(probability, label, validate_args=False)
        return found
    found = {
        "accuracy": multiclass_accuracy(probability, label, classes, average="micro", validate_args=False),
        "precision": multiclass_precision(probability, label, classes, validate_args=False),
        "recall": multiclass_recall(probability, label, classes, validate_args=False),
        "f1": multiclass_f1_score(probability, label, classes, validate_args=False),
    }
    if len(torch.unique(label)) == classes:
        found["auroc"] = multiclass_auroc(probability, label, classes, validate_args=False)
    return found


class Seen(Metric):
    """What the batches since the last reset said and cost, gathered from all processes."""

    full_state_update = False
    probability: list[Tensor]
    label: list[Tensor]
    cost: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probability", [], dist_reduce_fx="cat")
        self.add_state("label", [], dist_reduce_fx="cat")
        # in float64 a mean over one batch is that batch's float32 loss, to the bit
        self.add_state("cost", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, loss: Tensor, weight: float, probability: Tensor, label: Tensor) -> None:
        self.cost += loss.to(self.cost.dtype) * weight
        self.weight += weight
        self.probability.append(probability)
        self.label.append(label)

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Summed loss, summed weight, probabilities [N] or [N, classes], labels [N]."""
        probability, label = (x if isinstance(x, Tensor) else torch.cat(x) for x in (self.probability, self.label))
        return self.cost, self.weight, probability, label


class StageMetrics(nn.Module):
    """Loss and scores of one stage, over the batches since the last `compute`.

    Args:
        reduction: of the loss: `mean` averages over images, `sum` adds up.
    """

    def __init__(self, stage: str, *, classes: int, reduction: str) -> None:
        super().__init__()
        self.stage, self.classes, self.averages = stage, classes, reduction == "mean"
        self.seen = Seen()
        self.batches = 0

    def update(self, *, loss: Tensor, probability: Tensor, label: Tensor) -> None:
        """Take in a batch: scalar loss, [B] or [B, classes] probabilities, [B] labels."""
        self.seen.update(loss.detach(), len(label) if self.averages else 1, probability.detach(), label)
        self.batches += 1

    def state(self) -> dict[str, Any]:
        """What was taken in since the last `compute`, for a checkpoint inside an epoch."""
        if not self.batches:
            return {}
        names = ("cost", "weight", "probability", "label")
        seen = dict(zip(names, self.seen.compute(), strict=True))
        return {"batches": self.batches, "seen": {name: value.detach().cpu() for name, value in seen.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take in what `state` gave."""
        if not state:
            return
        self.batches, seen, device = state["batches"], state["seen"], self.seen.device
        self.seen.cost, self.seen.weight = seen["cost"].to(device), seen["weight"].to(device)
        self.seen.probability, self.seen.label = [seen["probability"].to(device)], [seen["label"].to(device)]

    def compute(self) -> dict[str, Tensor]:
        """Scalars float32 by name, as `val/accuracy`, and start anew."""
        cost, weight, probability, label = self.seen.compute()
        label = label.reshape(-1)  # torchmetrics makes a scalar of a single image's
        probability = probability.reshape(-1) if self.classes == 2 else probability
        found = {"loss": cost / weight if self.averages else cost}
        found |= scores(probability, label, classes=self.classes)
        self.seen.reset()
        self.batches = 0
        return {f"{self.stage}/{name}": value.float() for name, value in found.items()}


def columns(stages: Iterable[str], *, several_batches: bool) -> list[str]:
    """Names of the metrics that an epoch may have, `train/loss` first."""
    names = [f"{stage}/{name}" for stage in stages for name in ("loss", *NAMES)]
    return [names[0], "train/loss_mean", *names[1:]] if several_batches else names
