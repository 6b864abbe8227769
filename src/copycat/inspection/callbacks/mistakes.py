"""The most confident errors and the least confident predictions on validation images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.data.split import Part
from copycat.inspection.callbacks.contact_sheet import sheet, summary_of, within
from copycat.inspection.callbacks.input_images import pictures
from copycat.inspection.callbacks.inspector import Inspector, boards
from copycat.inspection.reports.gallery_file import SIDE, TITLES, Shown, write_gallery
from copycat.training.run_context import RunContext


class Mistakes(Inspector):
    """Write the most confident errors and the least confident predictions to gallery.json and TensorBoard.

    Args:
        count: images of each kind, at most.
    """

    def __init__(self, *, count: int = 8) -> None:
        """Set the number of images."""
        self.count = count

    def on_run_end(self, context: RunContext) -> None:
        """Select the images and write them."""
        part = context.data.parts["val"]
        probability = context.probabilities.numpy()
        chosen = {
            "wrong": most_wrong(probability, part.labels.numpy(), count=self.count),
            "unsure": least_sure(probability, count=self.count),
        }
        places = [place for each in chosen.values() for place in each]
        if not places:
            return
        images = pictures(torch.stack([part.images[place] for place in places]))
        classes = context.data.classes
        shown = [_shown(part, classes, probability, kind, place) for kind in chosen for place in chosen[kind]]
        write_gallery(context.folder, shown, [within(image, side=SIDE) for image in images])
        for kind, title in TITLES.items():
            mine = [(one.words, image) for one, image in zip(shown, images, strict=True) if one.kind == kind]
            if not mine:
                continue
            words, of_kind = zip(*mine, strict=True)
            picture = summary_of(f"validation/{title.replace(' ', '_')}", sheet(of_kind, words), photo=True)
            for board in boards(context.loggers):
                board.write(picture, context.epochs)


def most_wrong(probability: NDArray[np.floating], label: NDArray[np.int64], *, count: int) -> list[int]:
    """Return the indices of misclassified images, the least likely true class first.

    Args:
        probability: [N, classes].
        label: [N].
        count: indices, at most.
    """
    true = probability[np.arange(len(label)), label]
    order = np.argsort(true, kind="stable")
    wrong = probability.argmax(1) != label
    return [int(place) for place in order if wrong[place]][:count]


def least_sure(probability: NDArray[np.floating], *, count: int) -> list[int]:
    """Return the indices of the least confident predictions, those with the closest two likeliest classes first.

    Args:
        probability: [N, classes].
        count: indices, at most.
    """
    two = np.sort(probability, axis=1)[:, -2:]
    return [int(place) for place in np.argsort(two[:, 1] - two[:, 0], kind="stable")[:count]]


def _shown(part: Part, classes: Sequence[str], probability: NDArray[np.floating], kind: str, place: int) -> Shown:
    said = int(probability[place].argmax())
    return Shown(
        kind=kind,
        index=place,
        name=part.names[place],
        label=classes[int(part.labels[place])],
        said=classes[said],
        probability=float(probability[place, said]),
    )
