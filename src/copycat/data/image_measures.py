"""Measure images as they are stored: size, contrast, sharpness, and a perceptual hash."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from copycat.data.decode import to_upright_rgb
from copycat.data.pool import Pool
from copycat.data.progress import parallel_map

SIDE = 512  # longer side of the image that contrast and sharpness are measured on, in pixels, at most
HASH_SIDE, HASH_WAVES = 64, 16  # side of the image that is hashed; frequencies of its cosine transform in the hash
HASH_BITS = HASH_WAVES**2 - 1
MIN_SIDE = 3  # least side that has a Laplacian


@dataclass(frozen=True)
class ImageMeasures:
    """Hold measures of N images, in the order of a pool."""

    width: NDArray[np.int64]
    height: NDArray[np.int64]
    """Size of the stored image, upright, in pixels."""
    entropy: NDArray[np.float64]
    """Of the histogram of gray values, in bits, from 0 to 8."""
    deviation: NDArray[np.float64]
    """Standard deviation of the gray values, which are 0 to 255."""
    sharpness: NDArray[np.float64]
    """Variance of the Laplacian of the gray values; nan for images without a pixel inside."""
    hashes: NDArray[np.uint8]
    """Perceptual hash, [N, 32], HASH_BITS bits each."""
    mirrored: NDArray[np.uint8]
    """The same of the image flipped left to right."""

    @property
    def aspect(self) -> NDArray[np.float64]:
        """Return width / height."""
        return self.width / self.height


Row = tuple[int, int, float, float, float, NDArray[np.uint8], NDArray[np.uint8]]


def measure_images(pool: Pool) -> ImageMeasures:
    """Measure all images of a pool: of the stored file where there is one, else of the decoded image."""
    rows = list(parallel_map(lambda index: pool.read(index, measure_image), len(pool), what="Measuring images"))
    width, height, entropy, deviation, sharpness, hashes, mirrored = zip(*rows, strict=True)
    return ImageMeasures(
        np.array(width), np.array(height), np.array(entropy), np.array(deviation), np.array(sharpness),
        np.stack(hashes), np.stack(mirrored),
    )  # fmt: skip


def measure_image(image: Image.Image) -> Row:
    """Return the measures of an open image."""
    before = image.size
    image.draft(None, (SIDE, SIDE))  # a JPEG decodes straight to a half, quarter or eighth
    drafted = image.size
    gray = to_upright_rgb(image).convert("L")
    is_turned = gray.size != drafted
    width, height = before[::-1] if is_turned else before
    small = gray.copy()
    small.thumbnail((SIDE, SIDE))
    pixels = np.asarray(small, dtype=np.float64)
    share = np.bincount(np.asarray(small).ravel(), minlength=256) / pixels.size
    share = share[share > 0]
    waves = _cosine_transform(gray)
    hashes = (_hash(waves), _hash(waves * (-1.0) ** np.arange(HASH_WAVES)))
    return width, height, float((share * np.log2(1 / share)).sum()), float(pixels.std()), laplacian(pixels), *hashes


def laplacian(gray: NDArray[np.float64]) -> float:
    """Return the variance of the Laplacian of gray values, [H, W]; nan where a side is below MIN_SIDE.

    Source: Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy.
    """
    if min(gray.shape) < MIN_SIDE:
        return float("nan")
    around = gray[1:-1, :-2] + gray[1:-1, 2:] + gray[:-2, 1:-1] + gray[2:, 1:-1]
    return float((around - 4 * gray[1:-1, 1:-1]).var())


def _cosine_transform(gray: Image.Image) -> NDArray[np.float64]:
    """Return the lowest frequencies of the cosine transform of an image: rows down, columns across."""
    pixels = np.asarray(gray.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0), dtype=float)
    waves: NDArray[np.float64] = _cosines() @ pixels @ _cosines().T
    return waves


@cache
def _cosines() -> NDArray[np.float64]:
    place = np.arange(HASH_SIDE) + 0.5
    return np.cos(np.pi / HASH_SIDE * np.arange(HASH_WAVES)[:, None] * place)


def _hash(waves: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return which frequencies are above the median, without the mean brightness, packed into bytes.

    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions, section 3.2.1; a larger
    hash than its 64 bits, as images of one kind resemble one another.
    """
    values = waves.ravel()[1:]
    return np.packbits(values > np.median(values))
