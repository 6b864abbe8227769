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
from copycat.records.predictions import Predictions
from copycat.training.signal_stack import kept_signal_stack

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
        with kept_signal_stack():
            names = runpy.run_path(str(folder / "use.py"), run_name="use")
        yield Script(names["read"], names["probabilities"])
    finally:
        sys.path[:] = path
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


@dataclass(frozen=True)
class Comparison:
    """Hold the probabilities of the same images by a run and by its export, each [N, classes]."""

    expected: Tensor
    actual: Tensor

    @property
    def differences(self) -> Tensor:
        """Return the absolute difference of each probability; infinite where one side alone is no number."""
        both_nan = self.actual.isnan() & self.expected.isnan()  # a diverged run gives nan on both sides
        return (self.actual - self.expected).abs().masked_fill(both_nan, 0.0).nan_to_num(nan=float("inf"))

    @property
    def largest(self) -> float:
        """Return the largest difference."""
        return float(self.differences.max())

    @property
    def mean(self) -> float:
        """Return the mean difference."""
        return float(self.differences.mean())

    def accuracies(self, labels: Tensor) -> tuple[float, float]:
        """Return the accuracy of the run and that of the export, as `copycat evaluate` computes it."""
        before, after = (Predictions(labels.numpy(), one.numpy()).scores() for one in (self.expected, self.actual))
        return before["accuracy"], after["accuracy"]


def compare_on_pixels(script: Script, predictor: Predictor, batches: Iterable[Tensor]) -> Comparison:
    """Compare on decoded images."""
    return _compare(script, predictor, ((batch, batch.numpy()) for batch in batches))


def compare_on_files(script: Script, predictor: Predictor, files: Sequence[Path]) -> Comparison:
    """Compare on image files that each side decodes itself."""
    size, fit, most = predictor.size, predictor.fit, predictor.max_pixels
    images = torch.stack([decode(file, size=size, fit=fit, max_pixels=most) for file in files])
    return _compare(script, predictor, [(images, np.concatenate([script.read(file) for file in files]))])


def _compare(script: Script, predictor: Predictor, batches: Iterable[tuple[Tensor, NDArray[np.uint8]]]) -> Comparison:
    found = [(predictor(images), torch.as_tensor(script.probabilities(pixels))) for images, pixels in batches]
    expected, actual = zip(*found, strict=True)
    return Comparison(torch.cat(expected).double(), torch.cat(actual).double())


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
