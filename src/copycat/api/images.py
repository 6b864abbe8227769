"""Classify images of any kind that Python programs have: files, PIL images, arrays and tensors."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from copycat.api.table import Table
from copycat.config.errors import UserError
from copycat.data.decode import UnreadableImage, decode, to_square_pixels
from copycat.deploy.predictor import Predictor

ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Tensor
BATCH = 64
"""Images in memory at once."""


@dataclass(frozen=True)
class Predictions:
    """Hold the class probabilities of images."""

    classes: tuple[str, ...]
    """Class names, by label."""
    probabilities: NDArray[np.float64]
    """[N, classes]."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the most likely label of each image, [N]."""
        labels: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return labels

    @property
    def names(self) -> list[str]:
        """Return the most likely class of each image."""
        return [self.classes[label] for label in self.labels]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.probabilities)

    def _repr_html_(self) -> str:
        """Return the predicted class and the probabilities of each image, for notebooks."""
        rows = [
            {"image": index, "class": name, **dict(zip(self.classes, row.tolist(), strict=True))}
            for index, (name, row) in enumerate(zip(self.names, self.probabilities, strict=True))
        ]
        return Table(rows)._repr_html_()


def predict_images(predictor: Predictor, images: ImageInput | Sequence[ImageInput]) -> Predictions:
    """Classify one image or several.

    Raises:
        UserError: for the first image that cannot be read.
    """
    listed: Sequence[Any] = images if isinstance(images, (list, tuple)) else [images]
    rows: list[list[float]] = []
    for start in range(0, len(listed), BATCH):
        batch = [_to_input(image, predictor) for image in listed[start : start + BATCH]]
        rows += predictor(torch.stack(batch)).tolist()
    probabilities = np.array(rows, dtype=np.float64).reshape(-1, len(predictor.classes))
    return Predictions(predictor.classes, probabilities)


def _to_input(image: Any, predictor: Predictor) -> Tensor:
    """Return an image as the network takes it, uint8 [3, size, size]."""
    if isinstance(image, (str, os.PathLike)):
        try:
            return decode(Path(image), size=predictor.size, fit=predictor.fit, max_pixels=predictor.max_pixels)
        except UnreadableImage as error:
            raise UserError(f"{error.path}: expected an image; {error.reason}.") from error
    if isinstance(image, Tensor):
        image = image.detach().cpu().permute(1, 2, 0).numpy() if image.ndim == 3 else image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(
                "predict: expected uint8 images, arrays [H, W, 3] or tensors [3, H, W];"
                f" got {image.dtype} {list(image.shape)}."
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise UserError(f"predict: expected paths, PIL images, arrays or tensors; got {type(image).__name__}.")
    return torch.from_numpy(to_square_pixels(image, size=predictor.size, fit=predictor.fit))
