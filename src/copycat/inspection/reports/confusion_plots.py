"""Plots of what a network says of images that it was not trained on: ROC, precision and recall, reliability."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from copycat.inspection.callbacks.confusion import BINS, calibration_error
from copycat.inspection.reports.figures import SHADES, drawn
from copycat.models.metrics import auroc

Doubles = NDArray[np.floating]
Labels = NDArray[np.int64]
MOST = len(SHADES)
"""Classes that have a curve."""


def roc_and_precision(probability: Doubles, label: Labels, classes: Sequence[str]) -> bytes:
    """A PNG with the ROC curve and the precision-recall curve of each class against the others.

    Args:
        probability: [N, classes].
        label: [N].
    """
    with drawn() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="by chance")
        for place, said, true in _each(probability, label):
            name, colour = classes[place], SHADES[place]
            false_alarms, hits, _ = binary_roc(said, true)
            left.plot(false_alarms, hits, color=colour, label=f"{name}, area {area(said, true):.3f}")
            precision, recall, _ = binary_precision_recall_curve(said, true)
            right.plot(recall, precision, color=colour, drawstyle="steps-post", label=name)
            right.axhline(float(true.double().mean()), color=colour, lw=1, ls=":", label=f"{name}, by chance")
        left.set(xlabel="share of others taken for it", ylabel="share of its images found", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.05))
        for axes in (left, right):
            axes.legend(frameon=False)
        png.take(figure)
    return png.bytes


def reliability(probability: Doubles, label: Labels, classes: Sequence[str]) -> bytes:
    """A PNG with the share that is right over what was said, in bins of equal width, and the count in each.

    Args:
        probability: [N, classes]; of two classes it is class 1 whose share is shown, else that which was said.
        label: [N].
    """
    if probability.shape[1] == 2:
        confidence, right, what = probability[:, 1], label == 1, f"share of {classes[1]}"
    else:
        confidence, right, what = probability.max(1), probability.argmax(1) == label, "share that is right"
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    with np.errstate(invalid="ignore"):
        shares = np.bincount(places, weights=right, minlength=BINS) / counts
    middles = (np.arange(BINS) + 0.5) / BINS
    error = calibration_error(torch.from_numpy(probability).float(), torch.from_numpy(label))
    with drawn() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="as often as said")
        there = counts > 0
        upper.plot(middles[there], shares[there], "o-", color=SHADES[0], label=what)
        upper.set(ylabel=what, ylim=(-0.03, 1.03), title=f"Reliability: expected calibration error {error:.3f}")
        upper.legend(frameon=False)
        lower.bar(middles, counts, width=0.9 / BINS, color=SHADES[0])
        lower.set(xlabel="probability that was said", ylabel="images", xlim=(0, 1))
        png.take(figure)
    return png.bytes


def area(said: torch.Tensor, true: torch.Tensor) -> float:
    """Under the ROC curve; nan where all images are, or none is, of the class."""
    return float(auroc(said[None].float().numpy(), (true == 1)[None].numpy())[0])


def _each(probability: Doubles, label: Labels) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Each class that some images are of and some are not: its place, probabilities [N] and labels [N]."""
    for place in range(min(MOST, probability.shape[1])):
        true = label == place
        if true.any() and not true.all():
            yield place, torch.from_numpy(probability[:, place].copy()), torch.from_numpy(true.astype(np.int64))
