"""Find near-duplicates: by perceptual hash first, then by the features of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copycat.data.image_measures import HASH_BITS, ImageMeasures
from copycat.data.progress import show_progress

MAX_DISTANCE = 0.15
"""Largest share of differing bits of two near-duplicates.

On the cats and the drawn images, JPEG of quality 30 changes 0.16 at most, and a small change of brightness 0.11, while
different images differ in 0.21 (mirrored) and 0.25 at least.
"""
MIN_MARGIN = 0.45
"""Least cosine of the centered features of two near-duplicates, minus that distance: both are similar after a crop."""
BLOCK = 1024  # images that are compared with all others at once

Features = NDArray[np.float32]
"""Centered features of length 1, [N, width]."""


@dataclass(frozen=True)
class Match:
    """Describe why an image belongs to a group."""

    other: int
    """The most similar image before it in the group."""
    kind: str
    """`equal`, `similar` or `mirrored` by hash, `similar content` by features."""
    similarity: float
    """Share of equal bits, or cosine of the features."""


@dataclass(frozen=True)
class DuplicateGroups:
    """Hold groups of near-duplicates, indices in increasing order, and the match of each image but a group's first."""

    groups: Sequence[Sequence[int]]
    matches: dict[int, Match]


def find_near_duplicates(
    digests: Sequence[str], measures: ImageMeasures, features: Features | None = None
) -> DuplicateGroups:
    """Compare all images with one another, and group those that are connected.

    Args:
        digests: of the pixels, [N]: images of equal digests are equal.
        measures: with the perceptual hashes.
        features: see `Features`; None: compare hashes alone.
    """
    root = np.arange(len(digests))
    matches: dict[int, Match] = {}
    for first, second, match in find_pairs(digests, measures, features):
        if second not in matches or match.similarity > matches[second].similarity:
            matches[second] = match
        a, b = _find_root(root, first), _find_root(root, second)
        root[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = {}
    for index in range(len(root)):
        members.setdefault(_find_root(root, index), []).append(index)
    groups = [group for group in members.values() if len(group) > 1]
    return DuplicateGroups(groups, matches)


def _find_root(root: NDArray[np.int64], node: int) -> int:
    while root[node] != node:
        root[node] = root[root[node]]
        node = int(root[node])
    return node


def find_pairs(
    digests: Sequence[str], measures: ImageMeasures, features: Features | None
) -> Iterator[tuple[int, int, Match]]:
    """Yield pairs of near-duplicates, the earlier image first."""
    count = len(digests)
    starts = range(0, count, BLOCK)
    blocks = [(a, b) for a in starts for b in starts if b >= a]
    for a, b in show_progress(blocks, total=len(blocks), what="Comparing images"):
        left = _signs(measures.hashes[a : a + BLOCK])
        plain = _distance(left, measures.hashes[b : b + BLOCK])
        mirrored = _distance(left, measures.mirrored[b : b + BLOCK])
        distance: NDArray[np.float32] = np.minimum(plain, mirrored)
        is_pair = distance <= MAX_DISTANCE
        cosine = np.full_like(distance, -1.0)
        if features is not None:
            cosine = features[a : a + BLOCK] @ features[b : b + BLOCK].T
            is_pair |= cosine - distance >= MIN_MARGIN
        if a == b:
            is_pair = np.triu(is_pair, 1)
        for row, column in np.argwhere(is_pair):
            first, second = a + int(row), b + int(column)
            if digests[first] == digests[second]:
                yield first, second, Match(first, "equal", 1.0)
            elif distance[row, column] <= MAX_DISTANCE:
                kind = "similar" if plain[row, column] <= mirrored[row, column] else "mirrored"
                yield first, second, Match(first, kind, 1 - float(distance[row, column]))
            else:
                yield first, second, Match(first, "similar content", float(cosine[row, column]))


def _signs(hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.unpackbits(hashes, axis=1, count=HASH_BITS).astype(np.float32) * 2 - 1


def _distance(left: NDArray[np.float32], hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the share of differing bits of each pair."""
    return np.asarray((1 - left @ _signs(hashes).T / HASH_BITS) / 2, dtype=np.float32)
