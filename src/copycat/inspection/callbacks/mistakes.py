"""The most confident errors and the least confident predictions on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.data.split import Part
from copycat.inspection.callbacks.contact_sheet import contact_sheet, image_summary, shrink
from copycat.inspection.callbacks.input_images import to_pictures
from copycat.inspection.callbacks.inspector import Inspector, summary_loggers
from copycat.inspection.reports.gallery_file import SIDE, TITLES, GalleryItem, write_gallery
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
            "unsure": least_confident(probability, count=self.count),
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

    Shapes: [N, classes] and [N].
    """
    true = probability[np.arange(len(label)), label]
    order = np.argsort(true, kind="stable")
    wrong = probability.argmax(1) != label
    return [int(index) for index in order if wrong[index]][:count]


def least_confident(probability: NDArray[np.floating], *, count: int) -> list[int]:
    """Return the indices of the predictions, [N, classes], with the closest two likeliest classes, `count` at most."""
    two = np.sort(probability, axis=1)[:, -2:]
    return [int(index) for index in np.argsort(two[:, 1] - two[:, 0], kind="stable")[:count]]


def _make_item(
    part: Part, classes: Sequence[str], probability: NDArray[np.floating], kind: str, index: int
) -> GalleryItem:
    predicted = int(probability[index].argmax())
    return GalleryItem(
        kind=kind,
        index=index,
        name=part.names[index],
        label=classes[int(part.labels[index])],
        said=classes[predicted],
        probability=float(probability[index, predicted]),
    )
