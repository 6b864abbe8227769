"""Define RandAugment's image operations, by kornia, with a signed strength."""

from collections.abc import Callable, Mapping
from math import pi

import torch
from torch import Tensor

Operation = Callable[[Tensor, Tensor], Tensor]
"""Map float [B, C, H, W] in [0, 1] and strengths [B] from -1 to 1 to float [B, C, H, W] in [0, 1]."""

# ----- geometry; uncovered pixels mirror the border


def _warp(image: Tensor, *, right: Tensor, down: Tensor, turn: Tensor, lean_x: Tensor, lean_y: Tensor) -> Tensor:
    """Warp images by an affine map about their center.

    Args:
        image: float [B, C, H, W].
        right: [B], shift as a share of the width.
        down: [B], shift as a share of the height.
        turn: [B], degrees.
        lean_x: [B], shear in radians.
        lean_y: [B], shear in radians.
    """
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    batch, _, height, width = image.shape
    center = image.new_tensor([(width - 1) / 2, (height - 1) / 2]).expand(batch, 2)
    shift = torch.stack([width * right, height * down], dim=1)
    matrix = get_affine_matrix2d(shift, center, torch.ones_like(shift), turn, lean_x, lean_y)
    warped: Tensor = warp_affine(image, matrix[:, :2], (height, width), padding_mode="reflection")
    return warped


def _geometric(**most: float) -> Operation:
    """Return an operation that moves pixels by up to these amounts, in either direction."""

    def move(image: Tensor, strength: Tensor) -> Tensor:
        names = ("right", "down", "turn", "lean_x", "lean_y")
        return _warp(image, **{name: most.get(name, 0.0) * strength for name in names})

    return move


# ----- colors


def _brightness(image: Tensor, strength: Tensor) -> Tensor:
    from kornia.enhance import adjust_brightness_accumulative

    changed: Tensor = adjust_brightness_accumulative(image, _factor(strength))
    return changed


def _contrast(image: Tensor, strength: Tensor) -> Tensor:
    from kornia.enhance import adjust_contrast_with_mean_subtraction

    changed: Tensor = adjust_contrast_with_mean_subtraction(image, _factor(strength))
    return changed


def _color(image: Tensor, strength: Tensor) -> Tensor:
    from kornia.enhance import adjust_saturation_with_gray_subtraction

    changed: Tensor = adjust_saturation_with_gray_subtraction(image, _factor(strength))
    return changed


def _sharpness(image: Tensor, strength: Tensor) -> Tensor:
    from kornia.enhance import sharpness

    # on one channel, the bits of torch's convolution depend on the batch size
    changed: Tensor = sharpness(image.expand(-1, max(3, image.shape[1]), -1, -1), _factor(strength))
    return changed[:, : image.shape[1]]


def _factor(strength: Tensor) -> Tensor:
    return 1 + 0.9 * strength


def _posterize(image: Tensor, strength: Tensor) -> Tensor:
    """Keep 8 bits per channel at strength 0 and 4 bits at strength 1."""
    from kornia.enhance import posterize

    changed: Tensor = posterize(image, 8 - (4 * strength.abs()).round().int())
    return changed


def _solarize(image: Tensor, strength: Tensor) -> Tensor:
    """Invert pixels above a threshold, which falls from 256 of 255 at strength 0 to 0 at strength 1."""
    from kornia.enhance import solarize

    changed: Tensor = solarize(image, (1 - strength.abs()) * (256 / 255))
    return changed


def _autocontrast(image: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to the range from 0 to 1; a constant channel stays."""
    from kornia.enhance import normalize_min_max

    flat = image.amax((2, 3), keepdim=True) == image.amin((2, 3), keepdim=True)
    changed: Tensor = torch.where(flat, image, normalize_min_max(image).clamp(0, 1))
    return changed


def _equalize(image: Tensor, _: Tensor) -> Tensor:
    from kornia.enhance import equalize

    changed: Tensor = equalize(image)
    return changed


def _identity(image: Tensor, _: Tensor) -> Tensor:
    return image


OPERATIONS: Mapping[str, Operation] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _geometric(turn=30.0),
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _geometric(lean_x=0.1 * pi),
    "shear_y": _geometric(lean_y=0.1 * pi),
    "translate_x": _geometric(right=0.45),
    "translate_y": _geometric(down=0.45),
}
"""Operations of the paper, by name."""
