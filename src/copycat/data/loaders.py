"""Batches of a part: slices of memory, or images decoded by workers; the order is a function of (seed, epoch)."""

from collections.abc import Iterator
from functools import cached_property
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from copycat.data.part import Decoder, Part
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

    def __iter__(self) -> Iterator[list[int]]:  # lazy: Lightning calls iter() before set_epoch
        for batch in torch.split(self.indices(), self.batch_size):
            yield batch.tolist()


class MemoryLoader:
    """Batches of a part that lives in memory as one uint8 tensor. In file order a batch is a view, copied nowhere."""

    def __init__(self, part: Part, order: Order) -> None:
        assert isinstance(part.images, Tensor)
        self.part, self.batch_sampler = part, order
        self.uint8 = part.images

    @cached_property
    def _floats(self) -> Tensor | None:
        return _to_float(self.uint8) if self.uint8.numel() * 4 <= AS_FLOAT_AT_MOST else None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        order = self.batch_sampler
        size = order.batch_size
        indices = order.indices() if order.shuffle else None
        for start in range(0, order.length, size):
            chosen = slice(start, start + size) if indices is None else indices[start : start + size]
            images = self._floats[chosen] if self._floats is not None else _to_float(self.uint8[chosen])
            yield {"image": images, "label": self.part.labels[chosen]}


class Decoding(Dataset[Batch]):
    """A part whose images are decoded one by one."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> Batch:
        return {"image": _to_float(self.part.images[index]), "label": self.part.labels[index]}


def loader(
    part: Part, *, batch_size: int | None, shuffle: bool, seed: int, workers: int
) -> MemoryLoader | DataLoader[Batch]:
    """What gives a part's batches.

    Args:
        batch_size: None for the whole part at once.
        workers: processes that decode; a part in memory needs none.
    """
    order = Order(length=len(part), batch_size=batch_size, shuffle=shuffle, seed=seed)
    if isinstance(part.images, Decoder) and not isinstance(part.images, Tensor):
        # a generator of its own, so that starting workers draws nothing from torch's
        own = torch.Generator().manual_seed(key("workers", seed))
        return DataLoader(Decoding(part), batch_sampler=order, num_workers=workers, generator=own)
    return MemoryLoader(part, order)


def _to_float(image: Tensor) -> Tensor:
    return image.float().div_(255)
