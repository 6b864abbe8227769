"""What is odd about a set: duplicates, shifts between its parts, unreadable files."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from copycat.data.datamodule import DataModule
from copycat.data.part import Part

SHARE_SHIFT = 0.1
"""Difference of a class's share between parts from which it is worth a warning."""
COLOR_SHIFT = 10.0
"""Difference of mean brightness or of a channel's mean, in steps of 255, likewise."""
SAMPLE = 2000
"""Images whose colours are looked at, at most, in a part that is decoded on demand."""


@dataclass(frozen=True)
class PartCheck:
    """Counts of a part, and its mean colour on the scale of 0 to 255."""

    images: int
    counts: Mapping[str, int]
    color: tuple[float, float, float]
    unreadable: int

    @property
    def brightness(self) -> float:
        return sum(self.color) / 3

    def share(self, name: str) -> float:
        return self.counts[name] / self.images


@dataclass(frozen=True)
class Check:
    """Everything that `copycat data check` prints."""

    parts: Mapping[str, PartCheck]
    within: list[tuple[str, ...]]
    """Names of images of one part that are equal byte for byte."""
    across: list[tuple[str, ...]]
    """The same, of several parts: what was trained on is validated on."""
    unreadable: list[str]
    warnings: list[str]
    """One plain line each."""


def check_data(data: DataModule) -> Check:
    """Look a set over."""
    parts = {name: _check_part(part, data.classes) for name, part in data.parts.items()}
    within, across = _duplicates(data.parts)
    unreadable = sorted({line for part in data.parts.values() for line in part.unreadable})
    warnings = []
    if data.source.synthetic:
        warnings.append("these images are drawn, not photographed")
    for names, where in ((across, "across parts"), (within, "within a part")):
        if names:
            first = " = ".join(names[0])
            warnings.append(f"{len(names)} {'image' if len(names) == 1 else 'images'} twice {where}: {first}")
    warnings += _shifts(parts, data.classes)
    if unreadable:
        warnings.append(f"{len(unreadable)} unreadable, left out: {unreadable[0]}")
    return Check(parts, within, across, unreadable, warnings)


def warnings_of(data: DataModule) -> list[str]:
    return check_data(data).warnings


def _check_part(part: Part, classes: tuple[str, ...]) -> PartCheck:
    counts = torch.bincount(part.labels, minlength=len(classes)).tolist()
    red, green, blue = _mean_color(part).tolist()
    return PartCheck(
        len(part), dict(zip(classes, counts, strict=True)), (red, green, blue), unreadable=len(part.unreadable)
    )


def _mean_color(part: Part) -> Tensor:
    if isinstance(part.images, Tensor):
        return part.images.mean((0, 2, 3), dtype=torch.float64)
    step = -(-len(part) // SAMPLE)
    chosen = [part.images[i].mean((1, 2), dtype=torch.float64) for i in range(0, len(part), step)]
    return torch.stack(chosen).mean(0)


def _duplicates(parts: Mapping[str, Part]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, part in parts.items():
        for digest, image in zip(part.digests, part.names, strict=True):
            places[digest].append((name, image))
    within: list[tuple[str, ...]] = []
    across: list[tuple[str, ...]] = []
    for found in places.values():
        if len(found) > 1:
            names = tuple(image for _, image in found)
            (across if len({part for part, _ in found}) > 1 else within).append(names)
    return within, across


def _shifts(parts: Mapping[str, PartCheck], classes: tuple[str, ...]) -> list[str]:
    """Differences of each part from the training part."""
    train, found = parts["train"], []
    for name, part in parts.items():
        if name == "train":
            continue
        named = classes[1:] if len(classes) == 2 else classes  # of two classes the second tells it all
        shift, label = max((abs(part.share(c) - train.share(c)), c) for c in named)
        if shift >= SHARE_SHIFT:
            found.append(f"{label} is {train.share(label):.0%} of train but {part.share(label):.0%} of {name}")
        if abs(part.brightness - train.brightness) >= COLOR_SHIFT:
            found.append(f"brightness {train.brightness:.0f} in train but {part.brightness:.0f} in {name}")
        elif any(abs(a - b) >= COLOR_SHIFT for a, b in zip(part.color, train.color, strict=True)):
            found.append(f"colours differ between train and {name}")
    return found
