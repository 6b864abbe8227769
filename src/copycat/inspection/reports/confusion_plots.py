"""Plots of predictions on held-out images: confusion matrix, ROC, precision and recall, reliability."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from copycat.inspection.calibration_error import BINS
from copycat.inspection.confusion_counts import confusion_matrix
from copycat.inspection.reports.classification_curves import ClassCurves, Doubles, Labels, Reliability
from copycat.inspection.reports.figures import COLORS, STYLE, NotebookFigure, encode_figure, plot_style, shorten

MAX_FLAT_LETTERS = 10
"""Letters of a class, at most, that fit below a column of the confusion matrix."""


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
        names = [*map(shorten, classes)]
        axes.set(xticklabels=names, yticklabels=names)
        axes.tick_params("x", labelrotation=90 if max(map(len, names)) > MAX_FLAT_LETTERS else 0)
        figure.colorbar(image, label="share of the true class")
        figure.draw_without_rendering()  # ticks take their style when they are first drawn
    return figure


def draw_class_curves(curves: Sequence[ClassCurves], *, title: str = "") -> bytes:
    """Draw ROC and precision-recall curves, and return the PNG."""
    with plot_style():
        figure = Figure(figsize=(8, 3.7 + 0.4 * len(curves)), dpi=120, layout="constrained")
        figure.suptitle(title)
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="chance")
        for one in curves:
            color, name = COLORS[one.color], shorten(one.name)
            label = f"{name}, area {one.area:.3f}"
            left.plot(one.false_positive_rate, one.true_positive_rate, color=color, label=label)
            right.plot(one.recall, one.precision, color=color, drawstyle="steps-post", label=name)
            right.axhline(one.share, color=color, lw=1, ls=":", label=f"{name}, chance")
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.05))
        for axes in (left, right):
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.15))  # below, clear of the curves
        return encode_figure(figure)


def draw_reliability(found: Reliability) -> bytes:
    """Draw shares over predicted probability, above the numbers that they are of, and return the PNG."""
    with plot_style():
        figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color="#8C8C8C", lw=1, label="perfect calibration")
        has_images = found.counts > 0
        upper.plot(
            found.middles[has_images], found.shares[has_images], "o-", color=COLORS[0], label=shorten(found.quantity)
        )
        title = f"{found.title}: expected calibration error {found.error:.3f}"
        upper.set(ylabel=shorten(found.quantity), ylim=(-0.03, 1.03), title=title)
        upper.legend(frameon=False)
        lower.bar(found.middles, found.counts, width=0.9 / BINS, color=COLORS[0])
        lower.set(xlabel=shorten(found.score, 60), ylabel=found.unit.partition(" ")[0], xlim=(0, 1))
        return encode_figure(figure)
