"""Compute mean and standard deviation of the channels of images."""

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from copycat.data.progress import parallel_map

if TYPE_CHECKING:
    from copycat.data.split import Decoder

MAX_MEASURED_IMAGES = 10_000
"""Number of images, evenly spaced, that are measured of a larger set."""


def measure_channels(images: "Tensor | Decoder") -> Mapping[str, list[float]]:
    """Return the `mean` and `std` of each channel's pixels, which are from 0 to 1.

    They are sums of integers, and so have the same bits on each machine. A constant channel has a deviation of 1.

    Args:
        images: uint8 [N, C, H, W].
    """
    count, channels, height, width = images.shape
    measured = min(count, MAX_MEASURED_IMAGES)

    def sum_image(number: int) -> NDArray[np.int64]:
        pixels = images[number * count // measured].numpy().reshape(channels, -1).astype(np.int64)
        return np.stack([pixels.sum(1), (pixels**2).sum(1)])

    each = parallel_map(sum_image, measured, what="Measuring channels")
    sums, squares = sum(each, start=np.zeros((2, channels), dtype=np.int64)).tolist()
    pixels = measured * height * width
    variances = [pixels * square - total**2 for total, square in zip(sums, squares, strict=True)]
    return {
        "mean": [total / (255 * pixels) for total in sums],
        "std": [sqrt(variance) / (255 * pixels) or 1.0 for variance in variances],
    }
