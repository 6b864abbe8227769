"""Define RandAugment's image operations, by kornia, with a signed strength."""

from collections.abc import Callable, Mapping
from math import pi

import torch
from kornia import enhance
from kornia.geometry.transform import get_affine_matrix2d, warp_affine
from torch import Tensor

Operation = Callable[[Tensor, Tensor], Tensor]
"""Map float [B, C, H, W] in [0, 1] and strengths [B] from -1 to 1 to float [B, C, H, W] in [0, 1]."""

# ----- geometry; uncovered pixels mirror the border


def warp(image: Tensor, shift: Tensor, scale: Tensor, turn: Tensor, *shear: Tensor) -> Tensor:
    """Warp images about their center: shift by pixels [B, 2], scale [B, 2], turn by degrees, shear by radians, [B]."""
    batch, _, height, width = image.shape
    center = image.new_tensor([(width - 1) / 2, (height - 1) / 2]).expand(batch, 2)
    matrix = get_affine_matrix2d(shift, center, scale, turn, *shear)
    warped: Tensor = warp_affine(image, matrix[:, :2], (height, width), padding_mode="reflection")
    return warped


def _geometric(**most: float) -> Operation:
    """Return an operation that moves pixels by up to these amounts, in either direction."""

    def move(image: Tensor, strength: Tensor) -> Tensor:
        names = ("right", "down", "turn", "lean_x", "lean_y")
        right, down, turn, *shear = (most.get(name, 0.0) * strength for name in names)
        shift = torch.stack([image.shape[3] * right, image.shape[2] * down], dim=1)
        return warp(image, shift, torch.ones_like(shift), turn, *shear)

    return move


# ----- colors


def _enhanced(change: Callable[..., Tensor]) -> Operation:
    """Return an operation by a factor from 0.1 to 1.9; 1 changes nothing."""
    return lambda image, strength: change(image, 1 + 0.9 * strength)


def _sharpness(image: Tensor, factor: Tensor) -> Tensor:
    # on one channel, the bits of torch's convolution depend on the batch size
    changed: Tensor = enhance.sharpness(image.expand(-1, max(3, image.shape[1]), -1, -1), factor)
    return changed[:, : image.shape[1]]


def _posterize(image: Tensor, strength: Tensor) -> Tensor:
    """Keep 8 bits per channel at strength 0 and 4 bits at strength 1."""
    return enhance.posterize(image, 8 - (4 * strength.abs()).round().int())


def _solarize(image: Tensor, strength: Tensor) -> Tensor:
    """Invert pixels above a threshold, which falls from 256 of 255 at strength 0 to 0 at strength 1."""
    return enhance.solarize(image, (1 - strength.abs()) * (256 / 255))


def _autocontrast(image: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to the range from 0 to 1; a constant channel stays."""
    flat = image.amax((2, 3), keepdim=True) == image.amin((2, 3), keepdim=True)
    return torch.where(flat, image, enhance.normalize_min_max(image).clamp(0, 1))


OPERATIONS: Mapping[str, Operation] = {
    "identity": lambda image, _: image,
    "autocontrast": _autocontrast,
    "equalize": lambda image, _: enhance.equalize(image),
    "rotate": _geometric(turn=30.0),
    "solarize": _solarize,
    "color": _enhanced(enhance.adjust_saturation_with_gray_subtraction),
    "posterize": _posterize,
    "contrast": _enhanced(enhance.adjust_contrast_with_mean_subtraction),
    "brightness": _enhanced(enhance.adjust_brightness_accumulative),
    "sharpness": _enhanced(_sharpness),
    "shear_x": _geometric(lean_x=0.1 * pi),
    "shear_y": _geometric(lean_y=0.1 * pi),
    "translate_x": _geometric(right=0.45),
    "translate_y": _geometric(down=0.45),
}
"""Operations of the paper, by name."""
