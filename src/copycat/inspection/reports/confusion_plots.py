"""Plots of predictions on held-out images: confusion matrix, ROC, precision and recall, reliability."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from copycat.inspection.callbacks.confusion import BINS, confusion_matrix
from copycat.inspection.reports.classification_curves import (
    ClassCurves,
    Doubles,
    Labels,
    Reliability,
    compute_class_curves,
    compute_reliability,
)
from copycat.inspection.reports.figures import COLORS, STYLE, NotebookFigure, plot_style, styled_png


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
    return draw_class_curves([*compute_class_curves(probability, label, classes)])


def plot_reliability(probability: Doubles, label: Labels, classes: Sequence[str]) -> bytes:
    """Draw accuracy over predicted probability, in bins of equal width, with the number of images, and return the PNG.

    Shapes: [N, classes] and [N].
    """
    return draw_reliability(compute_reliability(probability, label, classes))


def draw_class_curves(curves: Sequence[ClassCurves]) -> bytes:
    """Draw ROC and precision-recall curves, and return the PNG."""
    with styled_png() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="chance")
        for one in curves:
            color = COLORS[one.color]
            left.plot(
                one.false_positive_rate, one.true_positive_rate, color=color, label=f"{one.name}, area {one.area:.3f}"
            )
            right.plot(one.recall, one.precision, color=color, drawstyle="steps-post", label=one.name)
            right.axhline(one.share, color=color, lw=1, ls=":", label=f"{one.name}, chance")
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.05))
        for axes in (left, right):
            axes.legend(frameon=False)
        png.render(figure)
    return png.bytes


def draw_reliability(found: Reliability) -> bytes:
    """Draw accuracy over predicted probability with the number of images, and return the PNG."""
    with styled_png() as png:
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="perfect calibration")
        has_images = found.counts > 0
        upper.plot(found.middles[has_images], found.shares[has_images], "o-", color=COLORS[0], label=found.quantity)
        title = f"Reliability: expected calibration error {found.error:.3f}"
        upper.set(ylabel=found.quantity, ylim=(-0.03, 1.03), title=title)
        upper.legend(frameon=False)
        lower.bar(found.middles, found.counts, width=0.9 / BINS, color=COLORS[0])
        lower.set(xlabel="predicted probability", ylabel="images", xlim=(0, 1))
        png.render(figure)
    return png.bytes
