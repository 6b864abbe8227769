"""Read and write predictions.csv: the final weights' class probabilities of validation and test images."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copycat.config.atomic_write import replaced_file
from copycat.data.labels import label_codes, parse_codes
from copycat.models.temperature import scaled_probabilities
from copycat.records.image_index import read_images, training_digests
from copycat.records.safe_parsers import naming_file, read_file

FILE = "predictions.csv"
COLUMNS = ("part", "index", "label")
COLUMNS_OF_SEVERAL = ("part", "index", "labels")
"""Where images may have several classes: each cell has those of an image, as `0;2`."""
PARTS = ("train", "val", "test")
ROWS_CODED_TOGETHER = 4096


@dataclass(frozen=True)
class Predictions:
    """Hold labels and predicted probabilities of one part, in the order of its images."""

    label: NDArray[np.int64]
    """[N]; or [N, classes] of 0 and 1, where images may have several classes."""
    probability: NDArray[np.floating]
    """[N, classes]."""

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return self.label.ndim == 2

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Predictions":
        """Return the predictions of the images that a mask, [N], selects."""
        return Predictions(self.label[chosen], self.probability[chosen])

    def at_temperature(self, temperature: float) -> "Predictions":
        """Return the predictions with the logarithms of their probabilities divided by a temperature."""
        tiny = np.finfo(self.probability.dtype).tiny
        scaled = scaled_probabilities(np.log(np.maximum(self.probability, tiny)), temperature)
        return Predictions(self.label, scaled.astype(self.probability.dtype))

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Return whether the most probable class is the true one, or of several classes whether each is right, [N]."""
        return is_right(self.probability, self.label)

    def scores(self, *, present_only: bool = False) -> dict[str, float]:
        """Return the available scores by name, as `score_images` does."""
        import torch  # comparing runs needs no torch

        from copycat.models.metrics import score_images

        return score_images(torch.from_numpy(self.probability), torch.from_numpy(self.label), present_only=present_only)


def is_right(probability: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which images are classified right, [N]: of several classes, those above 0.5 are predicted.

    Shapes: [N, classes], and [N] or [N, classes].
    """
    if label.ndim == 2:
        return np.asarray(((probability > 0.5) == label).all(1))
    return np.asarray(probability.argmax(1) == label)


def write_predictions(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write predictions.csv from the predictions of each part."""
    first = next(iter(predictions.values()))
    classes, columns = first.probability.shape[1], COLUMNS_OF_SEVERAL if first.is_multi_label else COLUMNS
    with replaced_file(folder / FILE) as temporary, temporary.open("x", encoding="utf-8", newline="") as text:
        text.write(",".join([*columns, *(f"probability_{place}" for place in range(classes))]) + "\r\n")
        for part, predicted in predictions.items():  # row by row: as texts, numbers take many times the memory
            for index, (true, row) in enumerate(_coded_rows(predicted)):
                text.write(",".join((part, str(index), true, *map(str, row))) + "\r\n")
        text.flush()
        os.fsync(text.fileno())


def _coded_rows(predicted: Predictions) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Yield the label of each image as text, and its probabilities."""
    for first in range(0, len(predicted.label), ROWS_CODED_TOGETHER):
        some = slice(first, first + ROWS_CODED_TOGETHER)
        yield from zip(label_codes(predicted.label[some]), predicted.probability[some], strict=True)


def read_predictions(folder: Path, *, classes: int) -> dict[str, Predictions]:
    """Read predictions.csv, by part; empty where the run wrote none; raise a DamagedFileError where it is invalid."""
    try:
        with naming_file(folder / FILE, "the predictions of a run"):
            return _parse(read_file(folder / FILE).decode(), classes=classes)
    except FileNotFoundError:
        return {}


def _parse(text: str, *, classes: int) -> dict[str, Predictions]:
    """Parse the content of predictions.csv; raise a ValueError where it is invalid."""
    try:
        rows = list(csv.reader(StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"it is no CSV: {error}") from error
    if not rows:
        raise ValueError("it is empty")
    head = rows.pop(0)
    columns = tuple(head[: len(COLUMNS)])
    if columns not in (COLUMNS, COLUMNS_OF_SEVERAL) or len(head) != len(COLUMNS) + classes:
        raise ValueError(f"expected the columns {', '.join(COLUMNS)} and {classes} probabilities")
    parts: dict[str, list[Sequence[str]]] = {}
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"expected {len(head)} cells in a row; got {len(row)}")
        if row[0] not in PARTS:  # it becomes part of a file name
            raise ValueError(f"expected one of {', '.join(PARTS)}; got {row[0]!a:.80}")
        parts.setdefault(row[0], []).append(row)
    is_several = columns == COLUMNS_OF_SEVERAL
    return {part: _checked(each, classes=classes, multi_label=is_several) for part, each in parts.items()}


def find_training_copies(folder: Path, predictions: Mapping[str, Predictions]) -> dict[str, NDArray[np.bool_]]:
    """Return which images also occur in the training part, byte for byte: masks [N], by part that images.csv lists."""
    images = read_images(folder) or []
    trained = training_digests(images)
    parts = {part: [image.digest in trained for image in images if image.part == part] for part in predictions}
    return {part: np.array(mask) for part, mask in parts.items() if len(mask) == len(predictions[part].label)}


def _checked(rows: Sequence[Sequence[str]], *, classes: int, multi_label: bool) -> Predictions:
    label = parse_codes([row[2] for row in rows], classes=classes, multi_label=multi_label)
    probability = np.array([[float(cell) for cell in row[len(COLUMNS) :]] for row in rows])
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("expected probabilities from 0 to 1")
    return Predictions(label, probability)
