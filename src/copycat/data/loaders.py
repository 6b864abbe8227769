"""Batches of a part: slices of memory, or images decoded by workers; the order is a function of (seed, epoch)."""

from collections.abc import Iterator
from functools import cached_property
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from copycat.config.errors import UserError
from copycat.data.part import Decoder
from copycat.data.streams import key

AS_FLOAT_AT_MOST = 2**30
"""Bytes: a set that takes no more as float32 is converted once, a larger one batch by batch."""


class Batch(TypedDict):
    image: Tensor
    """float32 [B, C, H, W] in [0, 1]."""
    label: Tensor
    """int64 [B]."""


class Order(Sampler[list[int]]):
    """Batches of indices: in file order, or in a new order each epoch."""

    def __init__(self, *, length: int, batch_size: int | None, shuffle: bool, seed: int) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.batch_size = min(batch_size or length, length)
        self.epoch = 0

    @property
    def sampler(self) -> "Order":
        # Lightning tells the epoch to a loader's `sampler` and `batch_sampler.sampler`, never to a batch sampler
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def indices(self) -> Tensor:
        """[N] int64, the order of this epoch."""
        if not self.shuffle:
            return torch.arange(self.length)
        generator = torch.Generator().manual_seed(key("order", self.seed, self.epoch))
        return torch.randperm(self.length, generator=generator)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in torch.split(self.indices(), self.batch_size):
            yield batch.tolist()


class AsFloat:
    """Images in memory, uint8 [N, C, H, W], given as float32 in [0, 1]; a slice of them is a view, copied nowhere."""

    def __init__(self, images: Tensor) -> None:
        self.uint8 = images

    @cached_property
    def whole(self) -> Tensor | None:
        with torch.inference_mode(False):  # validation may ask first, and training could not use what it got
            return to_float(self.uint8) if self.uint8.numel() * 4 <= AS_FLOAT_AT_MOST else None

    def check_untouched(self) -> None:
        """Raises:
        UserError: where a network wrote to a batch: being a view, the batch is the set.
        """
        if self.whole is not None and self.whole._version:
            raise UserError("model: expected a network that leaves its input as it is; got one that writes to it.")

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        return self.whole[chosen] if self.whole is not None else to_float(self.uint8[chosen])


class MemoryLoader:
    """Batches of a part that lives in memory."""

    def __init__(self, images: AsFloat, labels: Tensor, order: Order) -> None:
        self.images, self.labels, self.batch_sampler = images, labels, order

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:  # lazy: Lightning calls iter() before it tells the epoch
        self.images.check_untouched()
        order = self.batch_sampler
        size = order.batch_size
        indices = order.indices() if order.shuffle else None
        for start in range(0, order.length, size):
            chosen = slice(start, start + size) if indices is None else indices[start : start + size]
            yield {"image": self.images[chosen], "label": self.labels[chosen]}


class DecodingLoader:
    """Batches of a part whose images are decoded one by one, here or in workers.

    Its DataLoader is made anew each epoch. A DataLoader asks for the first batches as soon as iter() is called, which
    is before Lightning tells the epoch; and it seeds its workers from a generator that goes on from epoch to epoch,
    where here all is a function of (seed, epoch). Starting workers takes little beside an epoch of a set that large.
    """

    def __init__(self, images: Decoder, labels: Tensor, order: Order, *, workers: int) -> None:
        self.dataset, self.batch_sampler, self.workers = Decoding(images, labels), order, workers

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        order = self.batch_sampler
        # a generator of its own, so that starting workers draws nothing from torch's
        own = torch.Generator().manual_seed(key("workers", order.seed, order.epoch))
        yield from DataLoader(self.dataset, batch_sampler=order, num_workers=self.workers, generator=own)


class Decoding(Dataset[Batch]):
    """Images that are decoded when they are asked for."""

    def __init__(self, images: Decoder, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return {"image": to_float(self.images[index]), "label": self.labels[index]}


def to_float(image: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return image.float().div(255)
