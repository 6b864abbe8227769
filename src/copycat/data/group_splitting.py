"""Split groups of images, such as those of one animal or patient, into stratified parts without a common group.

Images with several classes each are split so too, as groups of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.data.split import Part
from copycat.data.streams import derive_seed

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """Hold the images of one group, and of every group that shares an equal image with it."""

    indices: Sequence[int]
    names: Sequence[str]
    """Groups in it."""
    order: tuple[int, str]
    """Hash of seed and pixels, so that the order depends neither on file names nor on those of groups."""


def split_groups(part: Part, shares: Sequence[float], *, seed: int) -> list[list[int]]:
    """Return the indices of the images of each part, which have about these shares of every class.

    Args:
        part: the images; without groups each is a group of its own, together with equal ones.
        shares: of the images in each part; their sum is 1.
        seed: of the order in which groups of equal size are assigned.

    Raises:
        UserError: where a class has fewer groups than there are parts, or all its groups must lie in one part.
    """
    units = _make_units(part, seed)
    present = _one_hot(part)
    counts = np.array([present[list(unit.indices)].sum(0) for unit in units])
    for column in np.flatnonzero((counts > 0).sum(0) < len(shares)):
        holding = [name for unit, row in zip(units, counts, strict=True) if row[column] for name in unit.names]
        example = part.names[int(np.flatnonzero(present[:, column])[0])]
        least = int((counts > 0).sum(0).min())
        remedy = f"Type data.folds={least}" if len(shares) > 2 and least > 1 else "Add images of other groups"
        if part.groups is None:
            raise UserError(
                f"data.split: expected every class on {len(shares)} different images at least, as there are as many "
                f"parts; a class of {example} is on {len(holding)}. {remedy.replace('other groups', 'it')}."
            )
        raise UserError(
            f"data.groups: expected every class in {len(shares)} separate groups at least, as there are as many parts; "
            f"that of {example} is in {one_of(holding, most=4)} alone. {remedy}."
        )
    if part.is_multi_label:  # parts of the right size, also of images without a class
        sizes = np.array([[len(unit.indices)] for unit in units])
        parts = assign_groups(np.hstack([counts, sizes]), shares)
    else:
        parts = assign_groups(counts, shares)
    parts = spread_classes(counts, parts, len(shares))
    indices: list[list[int]] = [[] for _ in shares]
    for unit, place in zip(units, parts, strict=True):
        indices[place] += unit.indices
    return [sorted(each) for each in indices]


def _one_hot(part: Part) -> Counts:
    """Return 1 for each class that an image has, [N, C], of classes that some image has."""
    labels = part.labels.numpy()
    if part.is_multi_label:
        return np.asarray(labels[:, labels.any(0)])
    names, codes = np.unique(labels, return_inverse=True)
    return np.eye(len(names), dtype=np.int64)[codes]


def _make_units(part: Part, seed: int) -> list[Unit]:
    """Return the units by the hash of seed and pixels."""
    groups = part.groups or part.digests
    members: dict[str, list[int]] = {}
    for index, unit in enumerate(join_groups(groups, part.digests)):
        members.setdefault(unit, []).append(index)
    units = []
    for indices in members.values():
        first = min(part.digests[index] for index in indices)
        names = sorted({groups[index] for index in indices})
        units.append(Unit(indices, names, (derive_seed("split", seed, first), first)))
    return sorted(units, key=lambda unit: unit.order)


def join_groups(groups: Sequence[str], digests: Sequence[str]) -> list[str]:
    """Return the group of each image, the first one's for all groups that equal images connect."""
    root: dict[str, str] = {}

    def find(node: str) -> str:
        while root.setdefault(node, node) != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for group, digest in zip(groups, digests, strict=True):
        root[find(f"image {digest}")] = find(f"group {group}")
    first: dict[str, str] = {}
    return [first.setdefault(find(f"group {group}"), group) for group in groups]


def assign_groups(counts: Counts, shares: Sequence[float]) -> list[int]:
    """Return the part of each group: one after the other, the largest first, goes where it disturbs the shares least.

    The disturbance is the standard deviation over parts of each class's count, relative to what the part should have,
    averaged over classes; among equals the part with fewer images is taken, then the first.

    Args:
        counts: images of each group and class, [G, C].
        shares: of each part.

    Source: scikit-learn's StratifiedGroupKFold, whose parts are of equal size, and which takes the groups in the order
    of the standard deviation over classes, so that a large group with all classes alike would come last.
    """
    wanted = np.asarray(shares)[:, None] * counts.sum(0)
    filled = np.zeros_like(wanted)
    parts = [0] * len(counts)
    own = np.eye(len(shares))[:, :, None]  # [candidate, part, 1]
    for group in np.argsort(-(counts**2).sum(1), kind="stable"):
        tried = (filled + own * counts[group]) / wanted
        disturbance = tried.std(1).mean(1)
        best = np.flatnonzero(np.isclose(disturbance, disturbance.min()))
        place = int(best[np.argmin(filled[best].sum(1) / np.asarray(shares)[best])])
        filled[place] += counts[group]
        parts[int(group)] = place
    return parts


def spread_classes(counts: Counts, parts: Sequence[int], number: int) -> list[int]:
    """Move the smallest possible group into each part that lacks a class, as long as its own part keeps all classes.

    Raises:
        UserError: where all images of a class stay in one part.
    """
    moved, present = np.asarray(parts), counts > 0
    holding = np.stack([present[moved == place].sum(0) for place in range(number)])  # groups by part and class
    for place, column in np.argwhere(holding == 0):
        movable = [
            group for group in np.flatnonzero(present[:, column]) if (holding[moved[group]] > 1)[present[group]].all()
        ]
        if not holding[place, column] and movable:
            group = min(movable, key=lambda group: counts[group].sum())
            holding[moved[group]] -= present[group]
            holding[place] += present[group]
            moved[group] = place
    if ((holding > 0).sum(0) < 2).any():
        raise UserError("data.groups: expected every class in groups of two parts; got one whose groups go together.")
    return [int(place) for place in moved]
