"""Validation performance in TensorBoard: confusion matrix, precision-recall curves, calibration error."""

from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import pr_curve

from copycat.inspection.calibration_error import calibration_error, is_of_class
from copycat.inspection.callbacks.contact_sheet import (
    BACKGROUND,
    FOREGROUND,
    LINE_HEIGHT,
    Picture,
    draw_text,
    image_summary,
    load_font,
    paste,
)
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.confusion_counts import confusion_matrix
from copycat.training.run_context import RunContext

CELL, MARGIN = 64, 110
"""Pixels."""
MAX_CLASSES = 20
"""Classes that are drawn or have a curve, at most."""


class ConfusionMatrix(Inspector):
    """Write the final weights' confusion matrix, precision-recall curves and calibration error.

    Where images may have several classes, there is no confusion matrix; of more than 20 classes, a note in its place.
    """

    def on_run_end(self, context: RunContext) -> None:
        """Write the summaries to loggers."""
        if not (loggers := summary_loggers(context.loggers)):
            return
        label, probability = context.data.parts["val"].labels, context.probabilities
        summary = Summary()
        count, classes = len(context.data.classes), context.data.classes[:MAX_CLASSES]
        first = f"Precision-recall curves are of the first {MAX_CLASSES} classes." if count > MAX_CLASSES else ""
        if label.ndim == 1:
            picture = (
                draw_note(f"The matrix of {count} classes is left out; {MAX_CLASSES} have room.", first)
                if first
                else draw_confusion_matrix(confusion_matrix(probability.numpy(), label.numpy()), list(classes))
            )
            summary.MergeFrom(image_summary("validation/confusion_matrix", picture))
        for index, name in enumerate(classes):
            curve = pr_curve(
                f"precision_recall/{name}", is_of_class(label, index).numpy(), probability[:, index].numpy()
            )  # type: ignore[no-untyped-call]
            curve.value[0].metadata.summary_description = first
            summary.MergeFrom(curve)
        summary.value.add(tag="final/val/ece", simple_value=calibration_error(probability, label))
        for logger in loggers:
            logger.write(summary, context.epochs)


def draw_confusion_matrix(matrix: NDArray[np.int64], names: list[str]) -> Picture:
    """Draw counts by true class (rows) and predicted class (columns); darker cells hold more of their row."""
    image = _draw_frame(tuple(names)).copy()
    for row, counts in enumerate(matrix.tolist()):
        for column, count in enumerate(counts):
            cell = _draw_cell(count, max(1, sum(counts)))
            paste(image, cell, MARGIN + column * CELL, 40 + row * CELL)
    return image


def draw_note(*lines: str) -> Picture:
    """Draw lines of text in place of a picture."""
    width = 12 + ceil(max(map(load_font().getlength, lines)))
    image = Image.new("RGB", (width, 12 + len(lines) * LINE_HEIGHT), BACKGROUND)
    for place, line in enumerate(lines):
        draw_text(ImageDraw.Draw(image), (6, 6 + place * LINE_HEIGHT), line, width)
    return np.asarray(image)


@lru_cache(16)
def _draw_frame(names: tuple[str, ...]) -> Picture:
    """Draw the matrix without its cells; cached, since the runs of a sweep share it."""
    count = len(names)
    image = Image.new("RGB", (MARGIN + count * CELL + 6, 40 + count * CELL + 6), BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw_text(draw, (6, 6), "rows: true class, columns: predicted class", image.width)
    for index, name in enumerate(names):
        draw_text(draw, (6, 40 + index * CELL + CELL // 2 - 6), name, MARGIN - 10)
        draw_text(draw, (MARGIN + index * CELL + 4, 24), name, CELL - 6)
    return np.asarray(image)


@lru_cache(1024)
def _draw_cell(count: int, total: int) -> Picture:
    share = count / total
    shade = tuple(round(255 + share * (dark - 255)) for dark in (0, 114, 178))
    image = Image.new("RGB", (CELL - 1, CELL - 1), shade)
    ink = BACKGROUND if share > 0.5 else FOREGROUND
    ImageDraw.Draw(image).text((8, CELL // 2 - 6), str(count), fill=ink, font=load_font())
    return np.asarray(image)
