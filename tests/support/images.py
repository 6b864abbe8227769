"""Write tiny folders of images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def write_image_folder(
    root: Path, *, classes: Mapping[str, int], parts: Mapping[str, int], levels: int, seed: int = 0, digits: int = 1
) -> Path:
    """Write PNG files of 8×8 pixels of uniform noise, one sub-folder per class; return `root`.

    Args:
        classes: lowest pixel value of each class, which makes the classes separable.
        parts: images per class of each part; the part "" is `root` itself.
        levels: number of pixel values of each class.
        digits: least width of a file's number, filled with zeros.
    """
    random = np.random.default_rng(seed)
    for part, count in parts.items():
        for name, lowest in classes.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(lowest, lowest + levels, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index:0{digits}}.png")
    return root
