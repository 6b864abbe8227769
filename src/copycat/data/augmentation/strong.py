"""Flip, move, recolor and partly hide images, by kornia."""

import torch
from torch import Tensor

from copycat.config.extras import need
from copycat.data.augmentation.transforms import between


class Strong:
    """Flip, rotate, scale and shift; then change brightness, contrast, saturation and hue; then hide a part.

    All of it depends on each image's own random numbers alone.

    Args:
        flip: share of images that are flipped, left to right.
        rotate: largest angle in degrees, in either direction.
        scale: largest relative change of an image's size.
        move: largest shift as a share of a side, in either direction; uncovered pixels mirror the border.
        brightness, contrast, saturation: largest relative change; 0.3 is 0.7 to 1.3 times.
        hue: largest change as a share of the color circle, in either direction.
        erase: share of images of which a square turns gray.
        erase_size: largest side of the square, as a share of the image's.

    Raises:
        UserError: where kornia is missing.
    """

    draws = 13

    def __init__(
        self,
        *,
        flip: float = 0.5,
        rotate: float = 15.0,
        scale: float = 0.15,
        move: float = 0.1,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.3,
        hue: float = 0.03,
        erase: float = 0.25,
        erase_size: float = 0.4,
    ) -> None:
        """Store the ranges, and check that kornia is installed."""
        need("kornia", wanted_by="augmentation=strong")
        self.flip, self.rotate, self.scale, self.move = flip, rotate, scale, move
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.erase, self.erase_size = erase, erase_size

    def __call__(self, image: Tensor, chance: Tensor) -> Tensor:
        """Augment images, as `Augmentation` describes."""
        flip, turn, larger, right, down, bright, contrast, saturation, hue, erase, wide, left, top = chance.to(image).T
        moved = self._moved(image, flip, turn, larger, right, down)
        coloured = self._coloured(moved, bright, contrast, saturation, hue)
        return self._erased(coloured, erase, wide, left, top)

    def _moved(self, image: Tensor, flip: Tensor, turn: Tensor, larger: Tensor, right: Tensor, down: Tensor) -> Tensor:
        from kornia.geometry.transform import get_affine_matrix2d, warp_affine

        batch, _, height, width = image.shape
        center = image.new_tensor([(width - 1) / 2, (height - 1) / 2]).expand(batch, 2)
        size = 1 + self.scale * _both_ways(larger)
        sides = torch.stack([torch.where(flip < self.flip, -size, size), size], dim=1)  # a negative side mirrors
        by = self.move * torch.stack([width * _both_ways(right), height * _both_ways(down)], dim=1)
        matrix = get_affine_matrix2d(by, center, sides, self.rotate * _both_ways(turn))
        found: Tensor = warp_affine(image, matrix[:, :2], (height, width), padding_mode="reflection")
        return found

    def _coloured(self, image: Tensor, bright: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
        from kornia.enhance import adjust_hue, adjust_saturation_with_gray_subtraction

        def times(chance: Tensor, most: float) -> Tensor:
            return (1 + most * _both_ways(chance))[:, None, None, None]

        image = (image * times(bright, self.brightness)).clamp(0, 1)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = (mean + (image - mean) * times(contrast, self.contrast)).clamp(0, 1)
        if image.shape[1] != 3:  # gray has neither saturation nor hue
            return image
        image = adjust_saturation_with_gray_subtraction(image, 1 + self.saturation * _both_ways(saturation))
        found: Tensor = adjust_hue(image, 2 * torch.pi * self.hue * _both_ways(hue))
        return found

    def _erased(self, image: Tensor, erase: Tensor, wide: Tensor, left: Tensor, top: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        side = self.erase_size * wide
        columns = between(width, left * (1 - side), side)
        rows = between(height, top * (1 - side), side)
        hidden = (erase < self.erase)[:, None, None] & rows[:, :, None] & columns[:, None, :]
        return torch.where(hidden[:, None], torch.full_like(image, 0.5), image)


def _both_ways(chance: Tensor) -> Tensor:
    """Map [0, 1) to [-1, 1)."""
    return 2 * chance - 1
