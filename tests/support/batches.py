"""Make a small part of images, and its loaders: from memory and decoded by workers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from copycat.data.batch_order import BatchOrder
from copycat.data.decoding_loader import DecodingLoader
from copycat.data.loaders import Batch, FloatImages, MemoryLoader, ResumableLoader
from tests.support.parameters import mark_slow

LENGTH = 23
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (LENGTH, 3, 4, 5), dtype=np.uint8))
LABELS = torch.arange(LENGTH) % 3
KINDS = mark_slow(["memory", 0, 1, 2], fast=["memory", 0, 2])
"""A loader from memory, or the number of workers that decode."""


class OnDemand:
    """The same images, handed out one by one."""

    shape = tuple(IMAGES.shape)

    def __getitem__(self, index: int) -> Tensor:
        return IMAGES[index].clone()


def make_order(**options: Any) -> BatchOrder:
    return BatchOrder(**{"length": LENGTH, "batch_size": 5, "shuffle": True, "seed": 0, **options})


def make_loader(kind: str | int, **options: Any) -> ResumableLoader:
    if kind == "memory":
        return MemoryLoader(FloatImages(IMAGES), LABELS, make_order(**options))
    assert isinstance(kind, int)
    return DecodingLoader(OnDemand(), LABELS, make_order(**options), workers=kind)


def epoch_of(loader: ResumableLoader, epoch: int) -> list[Batch]:
    """The batches of an epoch, which is told after iter() as Lightning does."""
    batches = iter(loader)
    loader.batch_sampler.set_epoch(epoch)
    return list(batches)


def make_batches_by_hand(indices: list[int], batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """What the yardstick's loop would be given for this order."""
    floats = IMAGES.float().div(255)
    chunks = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    return [(torch.stack([floats[i] for i in chunk]), torch.stack([LABELS[i] for i in chunk])) for chunk in chunks]


def equals_expected(batches: list[Batch], expected: list[tuple[Tensor, Tensor]]) -> bool:
    return len(batches) == len(expected) and all(
        batch["image"].dtype == torch.float32
        and batch["label"].dtype == torch.int64
        and torch.equal(batch["image"], image)
        and torch.equal(batch["label"], label)
        for batch, (image, label) in zip(batches, expected, strict=True)
    )


def are_equal(batches: list[Batch], others: list[Batch]) -> bool:
    return len(batches) == len(others) and all(
        one.keys() == other.keys() >= {"image", "label", "index"}
        and all(torch.equal(one[name], other[name]) for name in one)  # type: ignore[literal-required]
        for one, other in zip(batches, others, strict=True)
    )
