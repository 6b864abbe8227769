"""Apply a few random operations to each image, by kornia."""

from collections.abc import Sequence

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.suggestions import did_you_mean, one_of

MAX_MAGNITUDE = 30  # largest magnitude, at which each operation has its full strength


class RandAugment:
    """Apply `count` random operations to each image; they depend on the image's own random numbers alone.

    Args:
        count: operations per image, one after the other.
        magnitude: of all of them, from 0 to 30.
        operations: names in OPERATIONS to draw from, equally likely.

    Raises:
        UserError: where kornia is missing, or there is no such operation.

    Source: Cubuk et al. 2020, RandAugment: Practical Automated Data Augmentation with a Reduced Search Space.
    """

    def __init__(self, *, count: int, magnitude: float, operations: Sequence[str]) -> None:
        """Look the operations up."""
        require_package("kornia", wanted_by="augmentation=randaugment")
        from copycat.data.augmentation.operations import OPERATIONS  # which imports kornia

        for name in operations:
            if name not in OPERATIONS:
                hint = did_you_mean(str(name), OPERATIONS)
                raise UserError(
                    f"augmentation.operations: expected some of {one_of(OPERATIONS)}; got {str(name)!r}.{hint}"
                )
        self.strength = magnitude / MAX_MAGNITUDE
        self.operations = [OPERATIONS[name] for name in operations]
        self.draws = 2 * count

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Augment images, as `Augmentation` describes."""
        for which, sign in (some.T for some in torch.split(uniform, 2, dim=1)):
            image = self._apply(image, which, sign)
        return image

    def _apply(self, image: Tensor, which: Tensor, sign: Tensor) -> Tensor:
        """Apply to each image the operation that it drew, with one call per operation."""
        drawn = (which * len(self.operations)).long()
        strength = torch.where(sign < 0.5, -self.strength, self.strength).to(image)
        counts = torch.bincount(drawn, minlength=len(self.operations)).tolist()
        each = torch.split(drawn.argsort(stable=True), counts)
        augmented = torch.empty_like(image)
        for operation, places in zip(self.operations, each, strict=True):
            if len(places):
                changed = operation(image.index_select(0, places), strength.index_select(0, places))
                augmented.index_copy_(0, places, changed)
        return augmented
