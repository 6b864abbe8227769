"""Compute random orders and numbers of very many images from (key, place), without storing one for each.

Above KEYED_ABOVE images an epoch's order, draws and augmentation come from here. Below it they are torch's permutation
and tables of random numbers, by which earlier runs were recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

KEYED_ABOVE = 2**20
"""Images of a part up to which orders and random numbers are stored for an epoch."""
ROUNDS = 8  # of the Feistel network: four are a pseudo-random permutation for a random round function
_GOLDEN = 0x9E3779B97F4A7C15
_64_BITS = 2**64 - 1

Words = NDArray[np.uint64]


def hash_words(words: Words, key: int) -> Words:
    """Hash numbers with a key, each alone.

    Source: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators: the output function of
    SplitMix64, applied twice.
    """
    mixed = words * np.uint64(_GOLDEN) + np.uint64(key & _64_BITS)
    for _ in range(2):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def keyed_uniform(words: Words, key: int) -> NDArray[np.float64]:
    """Return float64 numbers in [0, 1), with 53 random bits each."""
    return (hash_words(words, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class KeyedPermutation:
    """Permute the numbers below `length`, each computed alone: a slice is the part of the order at these places.

    A Feistel network permutes the numbers of as many bits; one that it sends above `length` is permuted again until it
    is below, which takes two turns on average at most.

    Source: Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains: cycle walking.
    """

    length: int
    key: int

    def __getitem__(self, places: slice) -> Tensor:
        """Return the permuted numbers at some places, int64."""
        numbers = self._permute(np.arange(*places.indices(self.length), dtype=np.uint64))
        while len(outside := np.flatnonzero(numbers >= self.length)):
            numbers[outside] = self._permute(numbers[outside])
        return torch.from_numpy(numbers.astype(np.int64))

    @cached_property
    def _low_bits(self) -> int:
        return max(2, (self.length - 1).bit_length()) // 2

    @cached_property
    def _round_keys(self) -> list[int]:
        keys: list[int] = hash_words(np.arange(ROUNDS, dtype=np.uint64), self.key).tolist()
        return keys

    def _permute(self, numbers: Words) -> Words:
        bits = max(2, (self.length - 1).bit_length())
        low_mask, high_mask = (np.uint64(2**width - 1) for width in (self._low_bits, bits - self._low_bits))
        low, high = numbers & low_mask, numbers >> np.uint64(self._low_bits)
        for one, other in zip(self._round_keys[::2], self._round_keys[1::2], strict=True):
            high = high ^ (hash_words(low, one) & high_mask)
            low = low ^ (hash_words(high, other) & low_mask)
        permuted: Words = (high << np.uint64(self._low_bits)) | low
        return permuted


@dataclass(frozen=True)
class FileOrder:
    """Number the images of a part as its files: a slice is the part of the order at these places."""

    length: int

    def __getitem__(self, places: slice) -> Tensor:
        """Return the numbers at some places, int64."""
        return torch.arange(*places.indices(self.length))


class ClassDraws:
    """Draw images with replacement, a class by its weight and one of its images at random, each place alone.

    The inverse of the distribution function is that of the classes, so that little is stored: labels in the order of
    the classes, as those of a folder are, need nothing more, and others an index of 8 bytes per image.
    """

    def __init__(self, labels: Tensor, weights: Sequence[float]) -> None:
        """Prepare draws from labels, int64 [N], and the weight of an image of each class."""
        each = labels.numpy()
        self.counts = np.bincount(each, minlength=len(weights))
        self.starts = np.cumsum(self.counts) - self.counts
        mass = np.cumsum(self.counts * np.asarray(weights))
        self.shares = mass / mass[-1]
        is_sorted = bool((each[1:] >= each[:-1]).all())
        self.by_class = None if is_sorted else np.argsort(each, kind="stable")

    def draw(self, places: Words, key: int) -> Tensor:
        """Return the images drawn at these places, int64."""
        chosen = np.searchsorted(self.shares, keyed_uniform(places * np.uint64(2), key), side="right")
        within = keyed_uniform(places * np.uint64(2) + np.uint64(1), key) * self.counts[chosen]
        drawn = self.starts[chosen] + within.astype(np.int64)
        return torch.from_numpy(drawn if self.by_class is None else self.by_class[drawn])


@dataclass(frozen=True)
class KeyedDraws:
    """Number the draws of an epoch: a slice is the images drawn at these places."""

    length: int
    key: int
    draws: ClassDraws

    def __getitem__(self, places: slice) -> Tensor:
        """Return the images drawn at some places, int64."""
        return self.draws.draw(np.arange(*places.indices(self.length), dtype=np.uint64), self.key)
