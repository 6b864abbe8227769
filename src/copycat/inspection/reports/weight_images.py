"""Draw first-layer weights as images: evidence for and against each unit."""

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from copycat.inspection.callbacks.contact_sheet import Picture

MAX_UNITS = 64
"""Units that are drawn, at most."""


def draw_weights(weights: Mapping[str, Tensor], *, image_shape: tuple[int, ...]) -> list[Picture]:
    """Draw an image for each unit of a first layer that is linear or a convolution, else none.

    A linear layer's weights are drawn in the image's shape, [C, H, W], a convolution's as its filter. Gray is a weight
    of 0; brighter pixels increase the unit's output, darker ones decrease it, channel by channel. Each image is scaled
    by its own largest weight.
    """
    # a normalization in front has statistics [channels, 1, 1]
    first = next((weight for weight in weights.values() if weight.ndim in (2, 4)), None)
    if first is None:
        return []
    first = first.detach().cpu().float()
    if first.ndim == 2 and first.shape[1] == prod(image_shape):
        units = first.view(-1, *image_shape)
    elif first.ndim == 4 and first.shape[1] == image_shape[0]:
        units = first
    else:
        return []
    if units.shape[1] not in (1, 3):
        return []
    return [_draw_unit(unit) for unit in units[:MAX_UNITS]]


def _draw_unit(unit: Tensor) -> Picture:
    largest = unit.abs().max()
    scaled = unit / largest if largest > 0 else unit
    gray = (127.5 + 127.5 * scaled).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return np.repeat(gray, 3, axis=-1) if gray.shape[-1] == 1 else gray
