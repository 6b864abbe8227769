"""Changed copies of images, whose probabilities are averaged with those of the images: test-time augmentation."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from copycat.data.augmentation.transforms import Augmentation, Light, Mixing, Unchanged, UniformNumbers
from copycat.training.factory import build_augmentation


class Views:
    """Args:
    augmentation: makes the copies.
    count: of views, the images as they are being the first.
    """

    def __init__(self, augmentation: Augmentation, *, count: int) -> None:
        self.augmentation = augmentation
        chances = UniformNumbers(length=1, draws=augmentation.draws, seed=0)
        # one for all images, so that what is said of an image depends on no other; and the same for any count
        self.chances = [chances(view, torch.tensor([0])) for view in range(1, count)]

    def __call__(self, image: Tensor) -> Iterator[Tensor]:
        """Float32 [B, C, H, W] in [0, 1] -> each copy of the whole batch."""
        for chance in self.chances:
            yield self.augmentation(image, chance.expand(len(image), -1))


def views_of(config: Mapping[str, Any], *, count: int) -> Views | None:
    """By a run's own augmentation, or what it does before it mixes; by `light` where it has none. None for one view."""
    if count == 1:
        return None
    augmentation = build_augmentation(config["augmentation"])
    if isinstance(augmentation, Mixing):
        augmentation = augmentation.base
    if isinstance(augmentation, Unchanged):
        augmentation = Light()
    return Views(augmentation, count=count)
