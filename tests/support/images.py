"""Write tiny folders of images, and load them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from copycat.data.sources.folder import Folder
from copycat.data.split import Part


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


def load_folder(root: Path, **options: object) -> dict[str, Part]:
    return dict(Folder(root=str(root), **{"image_size": 8, **options}).load())  # type: ignore[arg-type]


def stack_images(part: Part) -> torch.Tensor:
    return torch.stack([part.images[index] for index in range(len(part))])


def get_color(image: torch.Tensor, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return tuple(image[:, y, x].tolist())


def save_image(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    path = folder / name
    image.save(path, **options)
    return path
