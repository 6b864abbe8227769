"""Sample batches of indices, in an order that is a function of (seed, epoch)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler

from copycat.data import keyed_random
from copycat.data.keyed_random import ClassDraws, FileOrder, KeyedDraws, KeyedPermutation
from copycat.data.streams import derive_seed


@dataclass(frozen=True)
class Share:
    """Represent the contiguous part of each batch that one rank takes; parts differ by one image at most."""

    rank: int = 0
    ranks: int = 1

    def bounds(self, images: int) -> tuple[int, int]:
        """Return start and stop of this rank's part of a batch; equal where the part is empty."""
        size, rest = divmod(images, self.ranks)
        start = self.rank * size + min(self.rank, rest)
        return start, start + size + (self.rank < rest)

    def is_empty(self, images: int) -> bool:
        """Return whether this rank's part of a batch is empty."""
        return self.rank >= images

    def places(self, images: int, *, after: int = 0) -> slice:
        """Return the places of this rank's part; of an empty part the first image, which only pads.

        `after` is the place of the batch's first image.
        """
        start, stop = self.bounds(images)
        return slice(after + start, after + stop) if start < stop else slice(after, after + 1)


WHOLE = Share()
"""The share of a run's only rank."""


class BatchOrder(Sampler[list[int]]):
    """Sample batches of indices of `length` images, in file order or in a new order every epoch.

    Without a batch size, all images are one batch. With weights, float64 [N], a shuffled epoch draws each of its
    `length` images anew, by probabilities in proportion to the weights: an image may occur several times, or never.
    For very many images the weights are those of classes, as `ClassDraws`.

    A rank iterates over its share of each batch; the order does not depend on the number of ranks.
    """

    def __init__(
        self,
        *,
        length: int,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        weights: Tensor | ClassDraws | None = None,
        share: Share = WHOLE,
    ) -> None:
        """Start at epoch 0."""
        self.share = share
        self.length, self.shuffle, self.seed, self.weights = length, shuffle, seed, weights
        self.batch_size = min(batch_size or length, length)
        self.epoch = 0

    @property
    def sampler(self) -> "BatchOrder":
        """Return this object: Lightning calls `set_epoch` of `batch_sampler.sampler`, not of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is sampled next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return -(-self.length // self.batch_size)

    def indices(self) -> Tensor:
        """Return the indices of this epoch in order, int64 [N]."""
        return self.sequence()[:]

    def sequence(self) -> Tensor | KeyedPermutation | KeyedDraws | FileOrder:
        """Return the order of this epoch, whose slices are int64 indices.

        Above KEYED_ABOVE images it is computed as it is sliced, not stored.
        """
        if not self.shuffle:
            return FileOrder(self.length)
        key = derive_seed("order", self.seed, self.epoch)
        if isinstance(self.weights, ClassDraws):
            return KeyedDraws(self.length, key, self.weights)
        if self.weights is None and self.length > keyed_random.KEYED_ABOVE:
            return KeyedPermutation(self.length, key)
        generator = torch.Generator().manual_seed(key)
        if self.weights is not None:
            return torch.multinomial(self.weights, self.length, replacement=True, generator=generator)
        return torch.randperm(self.length, generator=generator)

    def draws(self, first: int, count: int) -> Tensor | None:
        """Return the numbers in the epoch of `count` images from place `first` on; None where each image occurs once.

        Two draws of one image are augmented differently by them.
        """
        return None if self.weights is None else torch.arange(first, first + count)

    def images_in(self, batch: int) -> int:
        """Return the number of images of a batch, over all ranks."""
        return min(self.batch_size, self.length - batch * self.batch_size)

    def places(self, batch: int) -> slice:
        """Return the places in the epoch of this rank's images of a batch."""
        return self.share.places(self.images_in(batch), after=batch * self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch."""
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch from batch `first` on."""
        order = self.sequence()
        for batch in range(first, len(self)):
            yield order[self.places(batch)].tolist()
