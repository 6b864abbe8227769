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
from copycat.data.labels import label_names
from copycat.deploy.predictor import Predictor

ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | Tensor
BATCH = 64
"""Images in memory at once."""


@dataclass(frozen=True)
class Predictions:
    """Hold the class probabilities of images, and what is decided by them."""

    classes: tuple[str, ...]
    """Class names, by label."""
    probabilities: NDArray[np.float64]
    """[N, classes]."""
    labels: NDArray[np.int64] | NDArray[np.bool_]
    """Predicted label of each image, [N]: the most likely one, or by a calibrated run's costs or recall.

    Where images may have several classes, whether each is predicted, [N, classes]."""
    sets: NDArray[np.bool_] | None = None
    """Which classes are in the conformal set of each image, [N, classes]; None of a run without sets."""

    @property
    def names(self) -> list[str]:
        """Return the predicted class of each image; several are joined by `;`, and `none` stands for no class."""
        return label_names(self.labels, self.classes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.probabilities)

    def _repr_html_(self) -> str:
        """Return the predicted class and the probabilities of each image, for notebooks."""
        columns = [f"probability/{name}" for name in self.classes]  # as a class may be called image
        rows = [
            {"image": index, "class": name, **dict(zip(columns, row.tolist(), strict=True))}
            for index, (name, row) in enumerate(zip(self.names, self.probabilities, strict=True))
        ]
        return Table(rows)._repr_html_()


def predict_images(predictor: Predictor, images: ImageInput | Sequence[ImageInput]) -> Predictions:
    """Classify one image or several.

    Raises:
        UserError: for the first image that cannot be read.
    """
    listed: Sequence[Any] = images if isinstance(images, (list, tuple)) else [images]
    rows, labels, sets = list[list[float]](), list[Any](), list[list[bool]]()
    for start in range(0, len(listed), BATCH):
        batch = [_to_input(image, predictor) for image in listed[start : start + BATCH]]
        found = predictor(torch.stack(batch))
        decided = predictor.decide(found)
        rows += found.tolist()
        labels += decided.labels.tolist()
        sets += [] if decided.sets is None else decided.sets.tolist()
    probabilities = np.array(rows, dtype=np.float64).reshape(-1, len(predictor.classes))
    kind = bool if predictor.is_multi_label else np.int64
    shape = probabilities.shape if predictor.is_multi_label else len(probabilities)
    predicted = np.array(labels, dtype=kind).reshape(shape)
    return Predictions(predictor.classes, probabilities, predicted, np.array(sets, dtype=bool) if sets else None)


def _to_input(image: Any, predictor: Predictor) -> Tensor:
    """Return an image as the network takes it, uint8 [3, size, size]."""
    if isinstance(image, (str, os.PathLike)):
        try:
            return decode(Path(image), size=predictor.size, fit=predictor.fit, max_pixels=predictor.max_pixels)
        except UnreadableImage as error:
            raise UserError(f"{error.path}: expected an image; got none: {error.reason}.") from error
    if isinstance(image, (Tensor, np.ndarray)):
        kind = str(image.dtype).removeprefix("torch.")
        if kind != "uint8" or image.ndim != 3 or image.shape[0 if isinstance(image, Tensor) else 2] != 3:
            raise UserError(
                "predict: expected uint8 images, arrays [H, W, 3] or tensors [3, H, W];"
                f" got {kind} {list(image.shape)}."
            )
        array = image.detach().cpu().permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image
        image = Image.fromarray(array)
    if not isinstance(image, Image.Image):
        raise UserError(f"predict: expected paths, PIL images, arrays or tensors; got {type(image).__name__}.")
    if not all(image.size):
        raise UserError(f"predict: expected images with pixels; got one of {image.width}×{image.height}.")
    return torch.from_numpy(to_square_pixels(image, size=predictor.size, fit=predictor.fit))
