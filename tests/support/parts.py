"""Make parts of images, and a source of one's own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from copycat.data.split import Part, digest


def make_part(
    images: Tensor, labels: Sequence[int] | Tensor, names: Sequence[str] | None = None, unreadable: Sequence[str] = ()
) -> Part:
    """Make a part with the digests of its images, which have numbers for names unless given."""
    names = names or [f"image {place}" for place in range(len(images))]
    digests = [digest(image) for image in images]
    labels = torch.as_tensor(labels, dtype=torch.int64)
    return Part(images=images, labels=labels, names=names, digests=digests, unreadable=unreadable)


class LackingValidation:
    """A source whose validation part has no image of its second class."""

    classes: Sequence[str] = ("no", "yes")
    synthetic = True

    def load(self) -> Mapping[str, Part]:
        return {name: self._part(labels) for name, labels in (("train", [0, 1, 0, 1]), ("val", [0, 0]))}

    def _part(self, labels: list[int]) -> Part:
        return make_part(torch.arange(len(labels) * 12, dtype=torch.uint8).reshape(-1, 3, 2, 2), labels)


def make_gray_part(pixels: Sequence[int], labels: Sequence[int] | None = None) -> Part:
    """Images of 1x2 pixels in three channels, each of one value."""
    images = torch.tensor(list(pixels), dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(1, 3, 1, 2)
    return make_part(images, labels or [value % 2 for value in pixels], [str(value) for value in pixels])
