"""Test-time augmentation: probabilities averaged over augmented copies of each image."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from copycat.data.augmentation.transforms import Augmentation, Light, Mixing, Unchanged, UniformNumbers
from copycat.training.component_builders import build_augmentation


class AugmentedViews:
    """Make augmented copies of images; the images themselves are the first of `count` views."""

    def __init__(self, augmentation: Augmentation, *, count: int) -> None:
        """Draw the random numbers of each copy, once."""
        self.augmentation = augmentation
        chances = UniformNumbers(length=1, draws=augmentation.draws, seed=0)
        # the same for all images and any count, so that an image's prediction does not depend on other images
        self.chances = [chances(view, torch.tensor([0])) for view in range(1, count)]

    def __call__(self, image: Tensor) -> Iterator[Tensor]:
        """Yield each copy of a batch, float32 [B, C, H, W] in [0, 1]."""
        for chance in self.chances:
            yield self.augmentation(image, chance.expand(len(image), -1))


def make_views(config: Mapping[str, Any], *, count: int) -> AugmentedViews | None:
    """Return views by the run's augmentation without its mixing, or by `light` where it has none; None for one view."""
    if count == 1:
        return None
    augmentation = build_augmentation(config["augmentation"])
    if isinstance(augmentation, Mixing):
        augmentation = augmentation.base
    if isinstance(augmentation, Unchanged):
        augmentation = Light()
    return AugmentedViews(augmentation, count=count)
