"""Measure which near-duplicates `copycat data check --deep` finds.

    python benchmarks/duplicates.py

Plants a changed copy of every image of the cats (where COPYCAT_DATA names their folder) and of the drawn set, one kind
of change at a time. Prints the share of copies that are found with their original, by hashes alone and with the
features of the packaged backbone, and how many pairs of different originals are taken for near-duplicates.
"""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from labels import sources
from machine import description
from PIL import Image, ImageEnhance

from copycat.data.image_measures import measure_images
from copycat.data.near_duplicates import find_pairs
from copycat.data.pool import Pool, join_parts, to_image
from copycat.inspection.quality.features import center, compute_features


def compress(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after JPEG."""
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def crop(image: Image.Image, share: float, *, corner: bool = False) -> Image.Image:
    """Return the center, or the upper left corner, of this share of the sides, in the size of the image."""
    side = image.width * share
    left = 0.0 if corner else (image.width - side) / 2
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(left, left, left + side, left + side))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 60": lambda image: compress(image, 60),
    "JPEG of quality 30": lambda image: compress(image, 30),
    "40 pixels a side, and back": lambda image: image.resize((40, 40)).resize(image.size),
    "15 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "center crop, 95 % of a side": lambda image: crop(image, 0.95),
    "center crop, 90 %": lambda image: crop(image, 0.9),
    "corner crop, 95 %": lambda image: crop(image, 0.95, corner=True),
    "corner crop, 90 %": lambda image: crop(image, 0.9, corner=True),
}


def with_copies(pool: Pool, change: Callable[[Image.Image], Image.Image]) -> Pool:
    """Return the pool with a changed copy of each image at its end."""
    images = [pool.images.images[index] for index in range(len(pool))]
    copies = [torch.from_numpy(np.array(change(to_image(image))).transpose(2, 0, 1)) for image in images]
    part = replace(
        pool.images,
        images=torch.stack([*images, *copies]),
        labels=pool.images.labels.repeat(2),
        names=[*pool.images.names] * 2,
        digests=[*pool.images.digests, *(f"copy {index}" for index in range(len(pool)))],
    )
    return replace(pool, images=part, parts=[*pool.parts] * 2, originals=[*pool.originals] * 2)


def main() -> None:
    """Measure, and print a line for each kind of change."""
    print(description())
    for name, source in sources():
        pool = join_parts(source.load())
        count = len(pool)
        print(f"{name}, {count} images: found by hashes, and with features")
        false = 0
        for title, change in CHANGES.items():
            both = with_copies(pool, change)
            measures, features = measure_images(both), center(compute_features(both))
            found = []
            for used in (None, features):
                pairs = {(first, second) for first, second, _ in find_pairs(both.images.digests, measures, used)}
                found.append(sum((index, count + index) in pairs for index in range(count)) / count)
            different = [(a, b) for a, b in pairs if b < count and pool.images.digests[a] != pool.images.digests[b]]
            false = max(false, len(different))
            print(f"  {title:<28} {found[0]:4.0%} {found[1]:4.0%}")
        print(f"  pairs of different originals taken for near-duplicates: {false} of {count * (count - 1) // 2}")


if __name__ == "__main__":
    main()
