"""Plots of predictions on held-out images: confusion matrix, ROC, precision and recall, reliability."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from copycat.inspection.callbacks.confusion import BINS, calibration_error, confusion_matrix
from copycat.inspection.reports.figures import COLORS, STYLE, NotebookFigure, plot_style, styled_png
from copycat.models.auroc import auroc

Doubles = NDArray[np.floating]
Labels = NDArray[np.int64]
MAX_CURVES = len(COLORS)
"""Classes that have a curve, at most."""


def make_confusion_plot(probability: Doubles, label: Labels, classes: Sequence[str]) -> Figure:
    """Draw the confusion matrix: counts, colored by their share of the true class.

    Shapes: [N, classes] and [N].
    """
    matrix = confusion_matrix(probability, label)
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    side = 1.6 + 0.8 * len(classes)
    with plot_style({**STYLE, "axes.grid": False}):
        figure = NotebookFigure(figsize=(side + 0.8, side), dpi=120, layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=ink)
        places = range(len(classes))
        axes.set(xlabel="predicted class", ylabel="true class", xticks=places, yticks=places)
        axes.set(xticklabels=classes, yticklabels=classes)
        figure.colorbar(image, label="share of the true class")
        figure.draw_without_rendering()  # ticks take their style when they are first drawn
    return figure


def plot_roc_and_precision(probability: Doubles, label: Labels, classes: Sequence[str]) -> bytes:
    """Draw ROC and precision-recall curves of each class against the others, and return the PNG.

    Shapes: [N, classes] and [N].
    """
    with styled_png() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="chance")
        for index, score, true in _classes_with_curves(probability, label):
            name, color = classes[index], COLORS[index]
            false_alarms, recalls, _ = binary_roc(score, true)
            left.plot(false_alarms, recalls, color=color, label=f"{name}, area {roc_area(score, true):.3f}")
            precision, recall, _ = binary_precision_recall_curve(score, true)
            right.plot(recall, precision, color=color, drawstyle="steps-post", label=name)
            right.axhline(float(true.double().mean()), color=color, lw=1, ls=":", label=f"{name}, chance")
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.05))
        for axes in (left, right):
            axes.legend(frameon=False)
        png.render(figure)
    return png.bytes


def plot_reliability(probability: Doubles, label: Labels, classes: Sequence[str]) -> bytes:
    """Draw accuracy over predicted probability, in bins of equal width, with the number of images, and return the PNG.

    For two classes the frequency of class 1 is drawn, otherwise the accuracy of the predicted class.

    Shapes: [N, classes] and [N].
    """
    if probability.shape[1] == 2:
        confidence, right, quantity = probability[:, 1], label == 1, f"share of {classes[1]}"
    else:
        confidence, right, quantity = probability.max(1), probability.argmax(1) == label, "accuracy"
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        shares = np.bincount(bins, weights=right, minlength=BINS) / counts
    middles = (np.arange(BINS) + 0.5) / BINS
    error = calibration_error(torch.from_numpy(probability).float(), torch.from_numpy(label))
    with styled_png() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="perfect calibration")
        has_images = counts > 0
        upper.plot(middles[has_images], shares[has_images], "o-", color=COLORS[0], label=quantity)
        upper.set(ylabel=quantity, ylim=(-0.03, 1.03), title=f"Reliability: expected calibration error {error:.3f}")
        upper.legend(frameon=False)
        lower.bar(middles, counts, width=0.9 / BINS, color=COLORS[0])
        lower.set(xlabel="predicted probability", ylabel="images", xlim=(0, 1))
        png.render(figure)
    return png.bytes


def roc_area(score: torch.Tensor, true: torch.Tensor) -> float:
    """Compute the area under the ROC curve of scores, [N]; nan where all images belong to the class, or none does."""
    return float(auroc(score[None].float().numpy(), (true == 1)[None].numpy())[0])


def _classes_with_curves(probability: Doubles, label: Labels) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Yield each class that has images and does not have all: its label, probabilities [N] and labels [N] in {0, 1}."""
    for index in range(min(MAX_CURVES, probability.shape[1])):
        true = label == index
        if true.any() and not true.all():
            yield index, torch.from_numpy(probability[:, index].copy()), torch.from_numpy(true.astype(np.int64))
