"""A few operations out of many on each image, by kornia; which ones follows from its own chances alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.suggestions import did_you_mean, one_of
from copycat.data.augmentation.operations import OPERATIONS

MOST = 30
"""Of the magnitude: there, each operation is as strong as it gets."""


class RandAugment:
    """Args:
    count: operations on each image, one after the other.
    magnitude: of all of them, from 0 to 30.
    operations: that are drawn from, each as often, by their names in OPERATIONS.

    Raises:
        UserError: where kornia is missing, or there is no such operation.

    Source: Cubuk et al. 2020, RandAugment: Practical Automated Data Augmentation with a Reduced Search Space.
    """

    def __init__(self, *, count: int, magnitude: float, operations: Sequence[str]) -> None:
        require_package("kornia", wanted_by="augmentation=randaugment")
        for name in operations:
            if name not in OPERATIONS:
                hint = did_you_mean(str(name), OPERATIONS)
                raise UserError(
                    f"augmentation.operations: expected some of {one_of(OPERATIONS)}; got {str(name)!r}.{hint}"
                )
        self.strength = magnitude / MOST
        self.operations = [OPERATIONS[name] for name in operations]
        self.draws = 2 * count

    def __call__(self, image: Tensor, chance: Tensor) -> Tensor:
        for which, sign in (some.T for some in torch.split(chance, 2, dim=1)):
            image = self._changed(image, which, sign)
        return image

    def _changed(self, image: Tensor, which: Tensor, sign: Tensor) -> Tensor:
        """Each image by the operation that it drew: one call of it for all that did."""
        drawn = (which * len(self.operations)).long()
        strength = torch.where(sign < 0.5, -self.strength, self.strength).to(image)
        counts = torch.bincount(drawn, minlength=len(self.operations)).tolist()
        each = torch.split(drawn.argsort(stable=True), counts)
        found = torch.empty_like(image)
        for operation, places in zip(self.operations, each, strict=True):
            if len(places):
                some = operation(image.index_select(0, places), strength.index_select(0, places))
                found.index_copy_(0, places, some)
        return found
