"""Curves of predictions on held-out images: ROC, precision and recall, reliability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from copycat.inspection.calibration_error import BINS, calibration_error, is_of_class
from copycat.inspection.reports.contents import BEHIND, COLORS, Axis, Chart, Series, SeriesStyle
from copycat.models.auroc import auroc

Doubles = NDArray[np.floating]
Labels = NDArray[np.int64]
MAX_POINTS = 300
"""Points of an interactive curve, at most."""


@dataclass(frozen=True)
class ClassCurves:
    """Hold the curves of one class against the others, or against its absence."""

    name: str
    color: int
    """From 0."""
    area: float
    """Under the ROC curve."""
    share: float
    """Share of the images: the precision by chance."""
    false_positive_rate: Doubles
    true_positive_rate: Doubles
    recall: Doubles
    precision: Doubles


@dataclass(frozen=True)
class Reliability:
    """Hold the accuracy in bins of predicted probability."""

    quantity: str
    """Name of the shares."""
    middles: Doubles
    shares: Doubles
    """Accuracy; nan in an empty bin."""
    counts: Labels
    error: float
    """Expected calibration error."""
    unit: str
    """What is counted: images, or pairs of an image and a class."""
    score: str
    """What is compared with the quantity."""
    title: str = "Reliability"


def compute_class_curves(probability: Doubles, label: Labels, classes: Sequence[str]) -> Iterator[ClassCurves]:
    """Compute the curves of each class that has images and does not have all, of the first few.

    Shapes: [N, classes], and [N] or [N, classes].
    """
    for index in range(min(COLORS, probability.shape[1])):
        positive = is_of_class(torch.from_numpy(label), index).numpy()
        if not positive.any() or positive.all():
            continue
        score, true = torch.from_numpy(probability[:, index].copy()), torch.from_numpy(positive.astype(np.int64))
        false_alarms, hits, _ = binary_roc(score, true)
        precision, recall, _ = binary_precision_recall_curve(score, true)
        curves = (curve.numpy() for curve in (false_alarms, hits, recall, precision))
        yield ClassCurves(classes[index], index, roc_area(score, true), float(positive.mean()), *curves)


def compute_reliability(probability: Doubles, label: Labels, classes: Sequence[str]) -> Reliability:
    """Compute accuracy by predicted probability, in bins of equal width.

    Of two classes it is the frequency of class 1, otherwise the accuracy of the predicted class; of several classes an
    image, the frequency of each class.

    Shapes: [N, classes], and [N] or [N, classes].
    """
    unit, score = "images", "predicted probability"
    if label.ndim == 2:
        confidence, right, quantity = probability.ravel(), label.ravel() == 1, "share of positives"
        unit = "pairs of image and class"
    elif probability.shape[1] == 2:
        confidence, right, quantity = probability[:, 1], label == 1, f"share of {classes[1]}"
        score += f" of {classes[1]}"
    else:
        confidence, right, quantity = probability.max(1), probability.argmax(1) == label, "accuracy"
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        shares = np.bincount(bins, weights=right, minlength=BINS) / counts
    error = calibration_error(torch.from_numpy(probability).float(), torch.from_numpy(label))
    return Reliability(quantity, (np.arange(BINS) + 0.5) / BINS, shares, counts, error, unit, score)


def roc_area(score: torch.Tensor, true: torch.Tensor) -> float:
    """Compute the area under the ROC curve of scores, [N]; nan where all images belong to the class, or none does."""
    return float(auroc(score[None].float().numpy(), (true == 1)[None].numpy())[0])


def make_class_charts(curves: Sequence[ClassCurves]) -> list[Chart]:
    """Make the charts of ROC, and of precision over recall."""
    roc = [Series(label="chance", x=[0, 1], y=[0, 1], style=BEHIND)]
    precision = []
    for one in curves:
        style = SeriesStyle.of(one.color)
        x, y = _thin(one.false_positive_rate, one.true_positive_rate)
        roc.append(Series(label=f"{one.name}, area {one.area:.3f}", x=x, y=y, style=style))
        x, y = _thin(one.recall[::-1], one.precision[::-1])
        precision.append(Series(label=one.name, x=x, y=y, draw="step-before", style=style))
        chance = [one.share] * 2
        precision.append(Series(label=f"{one.name}, chance", x=[0, 1], y=chance, style=SeriesStyle(one.color + 1, 2)))
    false_positives, true_positives = _share_axis("false positive rate"), _share_axis("true positive rate")
    recall, share = _share_axis("recall"), _share_axis("precision")
    return [
        Chart(title="ROC", x_axis=false_positives, y_axis=true_positives, series=roc),
        Chart(title="Precision and recall", x_axis=recall, y_axis=share, series=precision),
    ]


def _share_axis(label: str) -> Axis:
    return Axis(label=label, range=(-0.02, 1.02))


def make_reliability_charts(found: Reliability) -> list[Chart]:
    """Make the charts of accuracy, and of the number of predictions, over the predicted probability."""
    has_images = found.counts > 0
    x, y, axis = found.middles[has_images], found.shares[has_images], _share_axis(found.score)
    chance = Series(label="perfect calibration", x=[0, 1], y=[0, 1], style=BEHIND)
    reliability = Series(label=found.quantity, x=x.tolist(), y=y.tolist(), markers=True)
    return [
        Chart(
            title=f"{found.title}: expected calibration error {found.error:.3f}",
            x_axis=axis,
            y_axis=_share_axis(found.quantity),
            series=[chance, reliability],
        ),
        Chart(
            title=f"{found.unit.capitalize()} by predicted probability",
            x_axis=axis,
            y_axis=Axis(label=found.unit, range=(0.0, 1.05 * float(found.counts.max()))),
            x=found.middles.tolist(),
            series=[Series(label=found.unit, y=[count or None for count in found.counts.tolist()], draw="bars")],
        ),
    ]


def _thin(x: Doubles, y: Doubles) -> tuple[list[float], list[float]]:
    kept = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).round().astype(int))
    return x[kept].tolist(), y[kept].tolist()
