"""Count, name and write labels: int64 [N], or [N, classes] of 0 and 1 where images may have several classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # comparing runs needs no torch
    from torch import Tensor

SEPARATOR = ";"
"""Between the classes of an image in files and tables."""
NO_CLASS = "none"
"""Name of a label without a class."""


def spell_like(name: str, known: Sequence[str]) -> str:
    """Return a name as `known` spells it: macOS and its archives write ä as two characters; else the name itself."""
    if name in known:
        return name
    return next((other for other in known if normalize("NFC", other) == normalize("NFC", name)), name)


def count_classes(labels: "Tensor", classes: int) -> list[int]:
    """Return the number of images of each class."""
    counts = labels.sum(0) if labels.ndim == 2 else labels.bincount(minlength=classes)
    return [int(count) for count in counts]


def label_codes(labels: "Tensor | NDArray[np.int64]") -> list[str]:
    """Return each label as files have it: the index of its class, or those of several, as `0;2`."""
    if labels.ndim == 1:
        return [str(label) for label in labels.tolist()]
    return [SEPARATOR.join(str(place) for place in np.flatnonzero(row)) for row in np.asarray(labels)]


def parse_codes(codes: Sequence[str], *, classes: int, multi_label: bool) -> NDArray[np.int64]:
    """Return the labels that `label_codes` wrote; raise a ValueError for others."""
    if not multi_label:
        labels = np.array([int(code) for code in codes], dtype=np.int64)
        if not ((labels >= 0) & (labels < classes)).all():
            raise ValueError(f"expected labels of {classes} classes")
        return labels
    rows = np.zeros((len(codes), classes), dtype=np.int64)
    for row, code in zip(rows, codes, strict=True):
        places = [int(place) for place in code.split(SEPARATOR) if place]
        if not all(0 <= place < classes for place in places):
            raise ValueError(f"expected labels of {classes} classes")
        row[places] = 1
    return rows


def label_names(labels: "Tensor | NDArray[np.int64] | NDArray[np.bool_]", classes: Sequence[str]) -> list[str]:
    """Return the name of each label: that of its class, or those of several joined by `;`, or `none`."""
    if labels.ndim == 1:
        return [classes[label] for label in labels.tolist()]
    rows = np.asarray(labels)
    return [SEPARATOR.join(classes[place] for place in np.flatnonzero(row).tolist()) or NO_CLASS for row in rows]


def name_code(code: str, classes: Sequence[str]) -> str:
    """Return the name of a label that `label_codes` wrote."""
    return SEPARATOR.join(classes[int(place)] for place in code.split(SEPARATOR) if place) or NO_CLASS


def majority(labels: "Tensor", classes: int) -> float:
    """Return the accuracy of the best constant prediction; of several classes an image, its mean over the classes."""
    shares = np.array(count_classes(labels, classes)) / len(labels)
    return float(np.maximum(shares, 1 - shares).mean() if labels.ndim == 2 else shares.max())
