"""Find duplicates, contradicting labels, shifts between parts and unreadable files in a data set."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np
import torch
from torch import Tensor

from copycat.config.printable import is_utf_8, printable
from copycat.config.suggestions import pluralize
from copycat.data.columns import rank_texts
from copycat.data.datamodule import DataModule
from copycat.data.labels import count_classes, label_names
from copycat.data.progress import parallel_map
from copycat.data.sources.folder_walk import LeftOut
from copycat.data.sources.image_source import ImageSource
from copycat.data.split import Part

MIN_SHARE_SHIFT = 0.1  # least difference of a class's share between parts that gives a warning
MIN_IMBALANCE = 3  # least ratio of the training part's largest class to its smallest that gives a warning
MIN_COLOR_SHIFT = 10.0
"""Least difference of mean brightness, or of a channel's mean, that gives a warning; of 255."""
COLOR_SAMPLE = 500  # largest number of images whose colors are measured in a part that is decoded on demand
MAX_NAME_LENGTH = 40  # longest name in a warning, in characters; `copycat data check` prints the whole name


@dataclass(frozen=True)
class PartSummary:
    """Hold the counts and the mean color of a part."""

    images: int
    counts: Mapping[str, int]
    color: Sequence[float]
    """Mean of each channel, from 0 to 255."""

    @property
    def brightness(self) -> float:
        """Return the mean of the channels' means, from 0 to 255."""
        return sum(self.color) / len(self.color)

    def share(self, name: str) -> float:
        """Return a class's share of the images, from 0 to 1."""
        return self.counts[name] / self.images


@dataclass(frozen=True)
class Duplicate:
    """Name one of several images that are equal byte for byte."""

    part: str
    name: str
    label: str


@dataclass(frozen=True)
class DataCheck:
    """Hold everything that `copycat data check` prints."""

    parts: Mapping[str, PartSummary]
    within: list[list[Duplicate]]
    """Equal images that occur several times in one part, and in no other."""
    across: list[list[Duplicate]]
    """Equal images that occur in several parts, so that the network is evaluated on images it trained on."""
    groups: Mapping[str, Mapping[str, int]]
    """Images of each group in each part that has some; empty where the source has no groups."""
    unreadable: list[str]
    left_out: Sequence[LeftOut]
    """Files that are not images of the data set."""
    warnings: list[str]
    """One short line each."""

    @property
    def leaking_groups(self) -> Mapping[str, Mapping[str, int]]:
        """Return the groups with images in several parts, so that the network is evaluated on individuals it knows."""
        return {name: counts for name, counts in self.groups.items() if len(counts) > 1}


def check_data(data: DataModule) -> DataCheck:
    """Check a data set: count images, compare parts, and find duplicates and unreadable files."""
    parts = {name: _summarize_part(part, data.classes) for name, part in data.parts.items()}
    within, across = _duplicates(data)
    counted = count_groups(data)
    unreadable = sorted({line for part in data.parts.values() for line in part.unreadable})
    warnings = ["these images are drawn, not photographed"] if data.source.synthetic else []
    listed = data.source if isinstance(data.source, ImageSource) else None
    warnings += [_shorten(line, 3 * MAX_NAME_LENGTH) for line in listed.warnings] if listed else []
    warnings += [*_find_like_names(data.classes, "class"), *_find_like_names(counted, "group")]
    for groups, where in ((across, "across parts"), (within, "within a part")):
        if groups:
            warnings.append(f"{_count(groups)} twice {where}: {_first(groups)}")
    if contradicting := [group for group in (*across, *within) if len({image.label for image in group}) > 1]:
        how = "with different labels" if data.is_multi_label else "under two classes"
        warnings.append(f"{_count(contradicting)} {how}: {_first(contradicting)}")
    if leaking := {name: counts for name, counts in counted.items() if len(counts) > 1}:
        first = next(iter(leaking))
        words = f"{pluralize(len(leaking), 'group')} across parts: {_shorten(first)}, {join_counts(leaking[first])}"
        warnings.append(words)
    warnings += _find_imbalance(parts["train"].counts)
    warnings += _compare_parts(parts, data.classes)
    if aside := data.parts["train"].set_aside:
        what = ("it" if len(aside) == 1 else "them") + (" or the group" if counted else "")
        warnings.append(f"{len(aside)} left out of train, as test has {what}: {printable(aside[0])}")
    if unreadable:
        warnings.append(f"{len(unreadable)} unreadable, left out: {_shorten(unreadable[0], 2 * MAX_NAME_LENGTH)}")
    if odd := [name for part in data.parts.values() for name in part.names if not is_utf_8(name)]:
        what = f"{pluralize(len(odd), 'file')} with a name that is not UTF-8, which tables cannot hold"
        warnings.append(f"{what}: {odd[0]!a:.200}. Rename {'it' if len(odd) == 1 else 'them'}")
    left_out = listed.left_out if listed else ()
    warnings += _summarize_left_out(left_out)
    return DataCheck(parts, within, across, counted, unreadable, left_out, warnings)


def _summarize_part(part: Part, classes: Sequence[str]) -> PartSummary:
    counts = count_classes(part.labels, len(classes))
    return PartSummary(len(part), dict(zip(classes, counts, strict=True)), _mean_color(part))


def _mean_color(part: Part) -> list[float]:
    images = part.images
    if isinstance(images, Tensor):  # NumPy converts as it adds; torch would first copy to 8 bytes per value
        colors: list[float] = images.numpy().mean((0, 2, 3)).tolist()
        return colors
    chosen = range(0, len(part), -(-len(part) // COLOR_SAMPLE))
    means = parallel_map(lambda i: images[chosen[i]].numpy().mean((1, 2)), len(chosen), what="Looking at colors")
    mean: list[float] = np.mean(list(means), axis=0).tolist()
    return mean


def _duplicates(data: DataModule) -> tuple[list[list[Duplicate]], list[list[Duplicate]]]:
    ranks = rank_texts(*(part.digests for part in data.parts.values()))
    occurrences = np.bincount(np.concatenate(ranks))
    by_rank: dict[int, list[Duplicate]] = defaultdict(list)
    for (place, part), ranks_of_part in zip(data.parts.items(), ranks, strict=True):
        again = np.flatnonzero(occurrences[ranks_of_part] > 1)
        labels = label_names(part.labels[torch.from_numpy(again)], data.classes)
        for index, label in zip(again.tolist(), labels, strict=True):
            by_rank[int(ranks_of_part[index])].append(Duplicate(place, part.names[index], label))
    within: list[list[Duplicate]] = []
    across: list[list[Duplicate]] = []
    for group in by_rank.values():
        (across if len({image.part for image in group}) > 1 else within).append(group)
    return within, across


def _find_like_names(names: Iterable[str], noun: str) -> list[str]:
    """Return a warning with the first two names of classes or groups that look alike, as Cat and cat, or 01 and 1."""
    seen: dict[str, str] = {}
    for name in names:
        is_number = name.isascii() and name.isdigit()
        first = seen.setdefault((name.lstrip("0") or "0") if is_number else normalize("NFC", name).casefold(), name)
        if first != name:
            by_case = "case" if first.casefold() == name.casefold() else "the encoding of letters"
            difference = "leading zeros" if is_number else by_case
            return [f"{_shorten(first)} and {_shorten(name)} differ in {difference} alone: are they one {noun}?"]
    return []


def _find_imbalance(counts: Mapping[str, int]) -> list[str]:
    """Return a warning with the counts of the largest and the smallest class, where they differ much."""
    smallest, largest = (pick(counts, key=lambda name: counts[name]) for pick in (min, max))
    if not 0 < counts[smallest] * MIN_IMBALANCE <= counts[largest]:  # a missing class has a warning of its own
        return []
    return [
        f"train is imbalanced: {counts[largest]} of {_shorten(largest)}, {counts[smallest]} of {_shorten(smallest)}"
    ]


def count_groups(data: DataModule) -> dict[str, dict[str, int]]:
    """Return the images of each group in each part that has some, the groups by name."""
    counts: dict[str, dict[str, int]] = {}
    for part, images in data.parts.items():
        for name, count in Counter(images.groups or ()).items():
            counts.setdefault(name, {})[part] = count
    return dict(sorted(counts.items()))


def join_counts(counts: Mapping[str, int]) -> str:
    """Join counts of images by part: `4 in train, 2 in val`."""
    return ", ".join(f"{count} in {part}" for part, count in counts.items())


def _compare_parts(parts: Mapping[str, PartSummary], classes: Sequence[str]) -> list[str]:
    """Return a warning for each class share or color in which a part differs from the training part."""
    train, warnings = parts["train"], []
    for name, part in parts.items():
        if missing := [label for label in classes if not part.counts[label]]:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            warnings.append(f"no image of {_shorten(missing[0])}{others} in {name}")
        if name == "train":
            continue
        is_one_share = len(classes) == 2 and sum(train.counts.values()) == train.images  # one implies the other
        named = classes[1:] if is_one_share else classes
        shift, label = max((abs(part.share(c) - train.share(c)), c) for c in named)
        if shift >= MIN_SHARE_SHIFT:
            warnings.append(
                f"{_shorten(label)} is {train.share(label):.0%} of train but {part.share(label):.0%} of {name}"
            )
        if abs(part.brightness - train.brightness) >= MIN_COLOR_SHIFT:
            warnings.append(f"brightness {train.brightness:.0f} in train but {part.brightness:.0f} in {name}")
        elif any(abs(a - b) >= MIN_COLOR_SHIFT for a, b in zip(part.color, train.color, strict=True)):
            warnings.append(f"colors differ between train and {name}")
    return warnings


def _summarize_left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for each reason that files are left out, with their number and the first name."""
    by_reason: dict[str, list[LeftOut]] = defaultdict(list)
    for one in left_out:
        by_reason[one.reason].append(one)
    return [
        f"{sum(one.files for one in group)} left out, {reason}: {_shorten(group[0].name)}"
        for reason, group in by_reason.items()
    ]


def _count(groups: Sequence[object]) -> str:
    return f"{len(groups)} {'image' if len(groups) == 1 else 'images'}"


def _first(groups: Sequence[Sequence[Duplicate]]) -> str:
    """Name two equal images of the first group, from different parts or classes where there are such."""
    first, *others = groups[0]
    other = max(others, key=lambda image: (image.part != first.part, image.label != first.label))
    return f"{_shorten(first.name)} = {_shorten(other.name)}"


def _shorten(words: str, longest: int = MAX_NAME_LENGTH) -> str:
    """Return printable text, its middle cut out where it is too long: a class shows at its start, a file at its end."""
    words, half = printable(words), longest // 2
    return words if len(words) <= longest else f"{words[: half - 1]}…{words[-half:]}"
