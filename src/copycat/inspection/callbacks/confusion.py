"""Validation performance in TensorBoard: confusion matrix, precision-recall curves, calibration error."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import pr_curve
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from copycat.inspection.callbacks.contact_sheet import BACKGROUND, FOREGROUND, Picture, font, image_summary, paste
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.training.run_context import RunContext

CELL, MARGIN = 64, 110
"""Pixels."""
MAX_CLASSES = 20
"""Classes that are drawn or have a curve, at most."""
BINS = 15


class ConfusionMatrix(Inspector):
    """Write the final weights' confusion matrix, precision-recall curves and calibration error.

    Where images may have several classes, there is no confusion matrix.
    """

    def on_run_end(self, context: RunContext) -> None:
        """Write the summaries to loggers."""
        if not (loggers := summary_loggers(context.loggers)):
            return
        label, probability = context.data.parts["val"].labels, context.probabilities
        summary = Summary()
        classes = context.data.classes[:MAX_CLASSES]
        if len(context.data.classes) <= MAX_CLASSES and label.ndim == 1:
            picture = draw_confusion_matrix(confusion_matrix(probability.numpy(), label.numpy()), list(classes))
            summary.MergeFrom(image_summary("validation/confusion_matrix", picture))
        for index, name in enumerate(classes):
            curve = pr_curve(
                f"precision_recall/{name}", is_of_class(label, index).numpy(), probability[:, index].numpy()
            )  # type: ignore[no-untyped-call]
            summary.MergeFrom(curve)
        summary.value.add(tag="final/val/ece", simple_value=calibration_error(probability, label))
        for logger in loggers:
            logger.write(summary, context.epochs)


def is_of_class(label: torch.Tensor, index: int) -> torch.Tensor:
    """Return whether images have a class, [N] bool; labels are [N], or [N, classes] of several classes an image."""
    return label[:, index] == 1 if label.ndim == 2 else label == index


def confusion_matrix(probability: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns).

    Shapes: [N, classes] and [N] -> [classes, classes].
    """
    matrix = np.zeros((probability.shape[1],) * 2, dtype=np.int64)
    np.add.at(matrix, (label, probability.argmax(1)), 1)
    return matrix


def count_decisions(predicted: NDArray[np.bool_], label: NDArray[np.int64]) -> list[dict[str, int]]:
    """Count, for each class, images that have it (found or missed) and that lack it (false or rejected).

    Shapes: [N, classes] each.
    """
    true = label == 1
    counts = {
        "found": (predicted & true).sum(0),
        "missed": (~predicted & true).sum(0),
        "false": (predicted & ~true).sum(0),
        "rejected": (~predicted & ~true).sum(0),
    }
    return [{name: int(count[place]) for name, count in counts.items()} for place in range(true.shape[1])]


def calibration_error(probability: torch.Tensor, label: torch.Tensor) -> float:
    """Compute the expected calibration error over 15 bins of equal width.

    It is the mean distance between confidence and accuracy, weighted by the number of images in each bin. Of two
    classes, the probability of class 1 is compared with its frequency; of several classes an image, that of each class.

    Shapes: [N, classes], and [N] or [N, classes].

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3; as torchmetrics computes it.
    """
    if label.ndim == 2:
        return float(binary_calibration_error(probability.reshape(-1), label.reshape(-1), n_bins=BINS))
    if probability.shape[1] == 2:
        return float(binary_calibration_error(probability[:, 1].contiguous(), label, n_bins=BINS))
    return float(multiclass_calibration_error(probability, label, probability.shape[1], n_bins=BINS))


def draw_confusion_matrix(matrix: NDArray[np.int64], names: list[str]) -> Picture:
    """Draw counts by true class (rows) and predicted class (columns); darker cells hold more of their row."""
    image = _draw_frame(tuple(names)).copy()
    for row, counts in enumerate(matrix.tolist()):
        for column, count in enumerate(counts):
            cell = _draw_cell(count, max(1, sum(counts)))
            paste(image, cell, MARGIN + column * CELL, 40 + row * CELL)
    return image


@lru_cache(16)
def _draw_frame(names: tuple[str, ...]) -> Picture:
    """Draw the matrix without its cells; cached, since the runs of a sweep share it."""
    count = len(names)
    image = Image.new("RGB", (MARGIN + count * CELL + 6, 40 + count * CELL + 6), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.text((6, 6), "rows: true class, columns: predicted class", fill=FOREGROUND, font=font())
    for index, name in enumerate(names):
        draw.text((6, 40 + index * CELL + CELL // 2 - 6), name[:16], fill=FOREGROUND, font=font())
        draw.text((MARGIN + index * CELL + 4, 24), name[:9], fill=FOREGROUND, font=font())
    return np.asarray(image)


@lru_cache(1024)
def _draw_cell(count: int, total: int) -> Picture:
    share = count / total
    shade = tuple(round(255 + share * (dark - 255)) for dark in (0, 114, 178))
    image = Image.new("RGB", (CELL - 1, CELL - 1), shade)
    ink = BACKGROUND if share > 0.5 else FOREGROUND
    ImageDraw.Draw(image).text((8, CELL // 2 - 6), str(count), fill=ink, font=font())
    return np.asarray(image)
