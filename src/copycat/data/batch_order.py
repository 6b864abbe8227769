"""Sample batches of indices, in an order that is a function of (seed, epoch)."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from copycat.data.streams import derive_seed


class BatchOrder(Sampler[list[int]]):
    """Sample batches of indices of `length` images, in file order or in a new order every epoch.

    Without a batch size, all images are one batch. With weights, float64 [N], a shuffled epoch draws each of its
    `length` images anew, by probabilities in proportion to the weights: an image may occur several times, or never.
    """

    def __init__(
        self, *, length: int, batch_size: int | None, shuffle: bool, seed: int, weights: Tensor | None = None
    ) -> None:
        """Start at epoch 0."""
        self.length, self.shuffle, self.seed, self.weights = length, shuffle, seed, weights
        self.batch_size = min(batch_size or length, length)
        self.epoch = 0
        self._in_file_order = torch.arange(length)

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
        if not self.shuffle:
            return self._in_file_order
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, self.epoch))
        if self.weights is not None:
            return torch.multinomial(self.weights, self.length, replacement=True, generator=generator)
        return torch.randperm(self.length, generator=generator)

    def draws(self, first: int, count: int) -> Tensor | None:
        """Return the numbers in the epoch of `count` images from place `first` on; None where each image occurs once.

        Two draws of one image are augmented differently by them.
        """
        return None if self.weights is None else torch.arange(first, first + count)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch."""
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch from batch `first` on."""
        for batch in torch.split(self.indices(), self.batch_size)[first:]:
            yield batch.tolist()
