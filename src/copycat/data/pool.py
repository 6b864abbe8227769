"""Join the parts of a data set into one, without copying their images."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from copycat.data.decode import UnreadableImage
from copycat.data.lazy_images import EncodedImages
from copycat.data.split import Decoder, Part, Subset

T = TypeVar("T")


@dataclass(frozen=True)
class JoinedImages:
    """Serve the images of several parts, one after the other."""

    parts: Sequence[Tensor | Decoder]

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, C, H, W] of all images."""
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`, uint8 [C, H, W]."""
        for part in self.parts:
            if index < part.shape[0]:
                return part[index]
            index -= part.shape[0]
        raise IndexError(index)


@dataclass(frozen=True)
class Pool:
    """Hold the images of all parts as one part, in the order of the parts."""

    images: Part
    parts: Sequence[str]
    """Name of the part of each image."""
    originals: Sequence[tuple[EncodedImages, int] | None]
    """Where each image is stored as it came, and its index there; None: the decoded image is all there is."""
    groups: Sequence[str] | None = None
    """Group of each image; None: no groups."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.parts)

    def read(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Apply `convert` to image `index` as it is stored, or to the decoded one where there is no other."""
        if (original := self.originals[index]) is not None:
            images, place = original
            with suppress(UnreadableImage):  # changed or removed since it was decoded
                return images.read_original(place, convert)
        return convert(to_image(self.images.images[index]))


def to_image(pixels: Tensor) -> Image.Image:
    """Return uint8 [C, H, W] as an image: RGB of three channels, else the gray mean of all."""
    array = pixels.numpy()
    if len(array) == 3:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    return Image.fromarray(array.mean(0).round().astype(np.uint8))


def join_parts(parts: Mapping[str, Part]) -> Pool:
    """Join parts into one."""
    each = list(parts.values())
    joined = Part(
        images=each[0].images if len(each) == 1 else JoinedImages([part.images for part in each]),
        labels=torch.cat([part.labels for part in each]),
        names=[name for part in each for name in part.names],
        digests=[digest for part in each for digest in part.digests],
    )
    names = [name for name, part in parts.items() for _ in range(len(part))]
    originals = [_find_original(part, index) for part in each for index in range(len(part))]
    groups = None if each[0].groups is None else [group for part in each for group in part.groups or ()]
    return Pool(joined, names, originals, groups)


def _find_original(part: Part, index: int) -> tuple[EncodedImages, int] | None:
    images = part.encoded
    while isinstance(images, Subset):
        index, images = int(images.indices[index]), images.decoder
    return (images, index) if isinstance(images, EncodedImages) else None
