"""Compare an exported script with its run, on pixels and on image files."""

import runpy
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from copycat.data.decode import EXIF_ORIENTATION, decode
from copycat.deploy.predictor import Predictor

KINDS = "oriented, transparent, gray, palette and deep images"
"""Description of the files of `write_images`."""


@dataclass(frozen=True)
class Script:
    """Hold the functions of an exported use.py."""

    read: Callable[[Path], NDArray[np.uint8]]
    probabilities: Callable[[NDArray[np.uint8]], Any]


@contextmanager
def loaded_script(folder: Path) -> Iterator[Script]:
    """Run an export's use.py as a module in this process; modules imported from its folder are unloaded afterwards."""
    modules = [file.stem for file in folder.glob("*.py")]
    hidden = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    path = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        names = runpy.run_path(str(folder / "use.py"), run_name="use")
        yield Script(names["read"], names["probabilities"])
    finally:
        sys.path[:] = path
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def difference_on_pixels(script: Script, predictor: Predictor, batches: Iterable[Tensor]) -> float:
    """Return the largest difference in any probability of any image."""
    return max((_difference(script, predictor, batch, batch.numpy()) for batch in batches), default=0.0)


def difference_on_files(script: Script, predictor: Predictor, files: Sequence[Path]) -> float:
    """Return the largest difference on image files that each side decodes itself."""
    size, fit, most = predictor.size, predictor.fit, predictor.max_pixels
    images = torch.stack([decode(file, size=size, fit=fit, max_pixels=most) for file in files])
    return _difference(script, predictor, images, np.concatenate([script.read(file) for file in files]))


def _difference(script: Script, predictor: Predictor, images: Tensor, pixels: NDArray[np.uint8]) -> float:
    expected = predictor(images).double()
    actual = torch.as_tensor(script.probabilities(pixels)).double()
    difference = (actual - expected).abs()
    both_nan = actual.isnan() & expected.isnan()  # a diverged run gives nan on both sides
    return float(difference.masked_fill(both_nan, 0.0).nan_to_num(nan=float("inf")).max())


def write_images(folder: Path, *, size: int) -> list[Path]:
    """Write one image file of each kind that decoders read differently, larger than `size`."""
    height, width = 2 * size, 3 * size
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    ramp = (down * across + np.zeros((height, width))).astype(np.float32)
    colors = np.stack([ramp, across + 0 * down, down + 0 * across], axis=-1)
    photo = Image.fromarray((255 * colors).astype(np.uint8))
    transparent = photo.copy()
    transparent.putalpha(Image.fromarray((255 * ramp).astype(np.uint8)))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "oriented.jpg": (photo, {"exif": exif}),
        "transparent.png": (transparent, {}),
        "gray.png": (photo.convert("L"), {}),
        "gray-transparent.png": (transparent.convert("LA"), {}),
        "palette.png": (photo.quantize(16), {"transparency": 0}),
        "deep.png": (Image.fromarray((65535 * ramp).astype(np.uint16)), {}),
        "deep.tif": (Image.fromarray(ramp), {}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
    return [folder / name for name in images]
