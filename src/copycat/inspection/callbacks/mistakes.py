"""The most confident errors and the least confident predictions on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.data.labels import label_names
from copycat.data.split import Part
from copycat.inspection.callbacks.contact_sheet import contact_sheet, image_summary, shrink
from copycat.inspection.callbacks.input_images import to_pictures
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.reports.gallery_file import SIDE, TITLES, GalleryItem, write_gallery
from copycat.records.predictions import is_right
from copycat.training.run_context import RunContext

CELL = 136
"""Width of an image with its caption, in pixels: enough for `predicted non-cat, 0.52`."""


@dataclass(kw_only=True, eq=False)
class Mistakes(Inspector):
    """Write the most confident errors and the least confident predictions to gallery.json and TensorBoard."""

    count: int = 8
    """Images of each kind, at most."""

    def on_run_end(self, context: RunContext) -> None:
        """Select the images and write them."""
        part = context.data.parts["val"]
        probability = context.probabilities.numpy()
        chosen = {
            "wrong": most_confident_errors(probability, part.labels.numpy(), count=self.count),
            "unsure": least_confident(probability, count=self.count, multi_label=part.is_multi_label),
        }
        classes = context.data.classes
        items = [_make_item(part, classes, probability, kind, index) for kind in chosen for index in chosen[kind]]
        if not items:
            return
        images = to_pictures(torch.stack([part.images[item.index] for item in items]))
        write_gallery(context.folder, items, [shrink(image, side=SIDE) for image in images])
        for kind, title in TITLES.items():
            captioned = [(image, item.caption) for item, image in zip(items, images, strict=True) if item.kind == kind]
            if captioned:
                pictures, captions = zip(*captioned, strict=True)
                sheet = contact_sheet(pictures, captions, side=CELL)
                summary = image_summary(f"validation/{title.replace(' ', '_')}", sheet, photo=True)
                for logger in summary_loggers(context.loggers):
                    logger.write(summary, context.epochs)


def most_confident_errors(probability: NDArray[np.floating], label: NDArray[np.int64], *, count: int) -> list[int]:
    """Return the indices of misclassified images, the least likely true class first, `count` at most.

    Where images may have several classes, the class whose probability is the furthest from its label counts.

    Shapes: [N, classes], and [N] or [N, classes].
    """
    is_several = label.ndim == 2
    true = 1 - np.abs(probability - label).max(1) if is_several else probability[np.arange(len(label)), label]
    wrong = ~is_right(probability, label)
    return [int(index) for index in np.argsort(true, kind="stable") if wrong[index]][:count]


def least_confident(probability: NDArray[np.floating], *, count: int, multi_label: bool = False) -> list[int]:
    """Return the indices of the predictions, [N, classes], with the closest two likeliest classes, `count` at most.

    Where images may have several classes, it is those with a class whose probability is the closest to 0.5.
    """
    if multi_label:
        margin = np.abs(probability - 0.5).min(1)
    else:
        two = np.sort(probability, axis=1)[:, -2:]
        margin = two[:, 1] - two[:, 0]
    return [int(index) for index in np.argsort(margin, kind="stable")[:count]]


def _make_item(
    part: Part, classes: Sequence[str], probability: NDArray[np.floating], kind: str, index: int
) -> GalleryItem:
    row = probability[index : index + 1]
    predicted = row > 0.5 if part.is_multi_label else row.argmax(1)
    return GalleryItem(
        kind=kind,
        index=index,
        name=part.names[index],
        label=label_names(part.labels[index : index + 1], classes)[0],
        predicted=label_names(predicted, classes)[0],
        probability=float(np.maximum(row, 1 - row).min() if part.is_multi_label else row.max()),
    )
