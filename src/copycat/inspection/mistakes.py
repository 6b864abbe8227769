"""Images that a network gets most wrong, and those that it is least sure of."""

from base64 import b64encode
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from copycat.data.part import Part
from copycat.inspection.fed import pictures
from copycat.inspection.gallery_file import SIDE, TITLES, Shown, write_gallery
from copycat.inspection.inspector import Inspector, boards
from copycat.inspection.sheet import png_of, sheet, summary_of
from copycat.runs.inspecting import View


class Mistakes(Inspector):
    """Writes the run folder's gallery.json, and the same to TensorBoard.

    Args:
        count: images of each kind, at most.
    """

    def __init__(self, *, count: int = 8) -> None:
        self.count = count

    def completed(self, view: View) -> None:
        part = view.data.parts["val"]
        probability = view.probabilities.numpy()
        chosen = {
            "wrong": most_wrong(probability, part.labels.numpy(), count=self.count),
            "unsure": least_sure(probability, count=self.count),
        }
        found = list(_shown(part, view.data.classes, probability, chosen))
        write_gallery(view.folder, found)
        for kind, title in TITLES.items():
            places = chosen[kind]
            if not places:
                continue
            words = [one.words for one in found if one.kind == kind]
            images = pictures(torch.stack([part.images[place] for place in places]))
            picture = summary_of(f"validation/{title.replace(' ', '_')}", sheet(images, words))
            for board in boards(view.loggers):
                board.write(picture, view.epochs)


def most_wrong(probability: NDArray[np.floating], label: NDArray[np.int64], *, count: int) -> list[int]:
    """Places of images that were taken for another class, the least likely true class first.

    Args:
        probability: [N, classes].
        label: [N].
    """
    true = probability[np.arange(len(label)), label]
    order = np.argsort(true, kind="stable")
    wrong = probability.argmax(1) != label
    return [int(place) for place in order if wrong[place]][:count]


def least_sure(probability: NDArray[np.floating], *, count: int) -> list[int]:
    """Places of images whose two likeliest classes are the nearest, those first.

    Args:
        probability: [N, classes].
    """
    two = np.sort(probability, axis=1)[:, -2:]
    return [int(place) for place in np.argsort(two[:, 1] - two[:, 0], kind="stable")[:count]]


def _shown(
    part: Part, classes: Sequence[str], probability: NDArray[np.floating], chosen: dict[str, list[int]]
) -> Iterator[Shown]:
    for kind, places in chosen.items():
        for place in places:
            said = int(probability[place].argmax())
            (picture,) = pictures(part.images[place][None])
            image = Image.fromarray(picture)
            image.thumbnail((SIDE, SIDE))
            yield Shown(
                kind=kind,
                index=place,
                name=part.names[place],
                label=classes[int(part.labels[place])],
                said=classes[said],
                probability=float(probability[place, said]),
                png=b64encode(png_of(np.asarray(image))).decode(),
            )
