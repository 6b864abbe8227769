"""Runs that make errors with confidence, and their recorded predictions."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.images import write_image_folder

OVERFITTED = ("model=logistic", "optimizer=adam", "optimizer.lr=0.2", "trainer.max_epochs=40")
"""Overrides of a run that is more confident than it is right on `write_hard_images`."""


def write_hard_images(root: Path, *, classes: int = 2, train: int = 50, val: int = 24, seed: int = 0) -> Path:
    """Write images of classes that overlap, so that networks err."""
    names = {name: 24 * place for place, name in enumerate(("cat", "dog", "owl")[:classes])}
    return write_image_folder(root, classes=names, parts={"train": train, "val": val}, levels=200, digits=2, seed=seed)


def read_recorded(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities [N, classes] and labels of the validation images, as predictions.csv has them."""
    with (folder / "predictions.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "val"]
    classes = len(rows[0]) - 3
    probability = np.array([[float(row[f"probability_{place}"]) for place in range(classes)] for row in rows])
    return probability, np.array([int(row["label"]) for row in rows])


def read_calibration_file(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "calibration.json").read_text())
    return content
