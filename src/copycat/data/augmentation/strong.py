"""Flip, move, recolor and partly hide images, by kornia."""

from dataclasses import dataclass

import torch
from torch import Tensor

from copycat.config.extras import require_package
from copycat.data.augmentation.transforms import box_mask


@dataclass(kw_only=True, eq=False)
class Strong:
    """Flip, rotate, scale and shift; then change brightness, contrast, saturation and hue; then hide a part.

    All of it depends on each image's own random numbers alone.

    Raises:
        UserError: where kornia is missing.
    """

    draws = 13
    flip: float = 0.5  # share of images that are flipped, left to right
    rotate: float = 15.0  # largest angle in degrees, in either direction
    scale: float = 0.15  # largest relative change of an image's size
    move: float = 0.1  # largest shift as a share of a side, in either direction; uncovered pixels mirror the border
    brightness: float = 0.2  # largest relative change, like the next two; 0.3 is 0.7 to 1.3 times
    contrast: float = 0.2
    saturation: float = 0.3
    hue: float = 0.03  # largest change as a share of the color circle, in either direction
    erase: float = 0.25  # share of images of which a square turns gray
    erase_size: float = 0.4  # largest side of the square, as a share of the image's

    def __post_init__(self) -> None:
        """Check that kornia is installed."""
        require_package("kornia", wanted_by="augmentation=strong")

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        """Augment images, as `Augmentation` describes."""
        flip, turn, larger, right, down, bright, contrast, saturation, hue, erase, wide, left, top = uniform.to(image).T
        warped = self._warp(image, flip, turn, larger, right, down)
        recolored = self._recolor(warped, bright, contrast, saturation, hue)
        return self._erase(recolored, erase, wide, left, top)

    def _warp(self, image: Tensor, flip: Tensor, turn: Tensor, larger: Tensor, right: Tensor, down: Tensor) -> Tensor:
        from copycat.data.augmentation.operations import warp  # which imports kornia

        height, width = image.shape[-2:]
        size = 1 + self.scale * _signed(larger)
        sides = torch.stack([torch.where(flip < self.flip, -size, size), size], dim=1)  # a negative side mirrors
        shift = self.move * torch.stack([width * _signed(right), height * _signed(down)], dim=1)
        return warp(image, shift, sides, self.rotate * _signed(turn))

    def _recolor(self, image: Tensor, bright: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
        from kornia.enhance import adjust_hue, adjust_saturation_with_gray_subtraction

        def factor(uniform: Tensor, most: float) -> Tensor:
            return (1 + most * _signed(uniform))[:, None, None, None]

        image = (image * factor(bright, self.brightness)).clamp(0, 1)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = (mean + (image - mean) * factor(contrast, self.contrast)).clamp(0, 1)
        if image.shape[1] != 3:  # gray has neither saturation nor hue
            return image
        image = adjust_saturation_with_gray_subtraction(image, 1 + self.saturation * _signed(saturation))
        recolored: Tensor = adjust_hue(image, 2 * torch.pi * self.hue * _signed(hue))
        return recolored

    def _erase(self, image: Tensor, erase: Tensor, wide: Tensor, left: Tensor, top: Tensor) -> Tensor:
        side = self.erase_size * wide
        hidden = (erase < self.erase)[:, None, None] & box_mask(image, left * (1 - side), top * (1 - side), side)
        return torch.where(hidden[:, None], torch.full_like(image, 0.5), image)


def _signed(uniform: Tensor) -> Tensor:
    """Map [0, 1) to [-1, 1)."""
    return 2 * uniform - 1
