"""Load batches of images from memory, and resume an epoch inside."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NotRequired, TypedDict, cast

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.batch_order import BatchOrder
from copycat.data.pixel_cache import MappedImages

MAX_FLOAT_BYTES = 2**30
"""Largest size in bytes, as floats, of a data set that is converted once; a larger one is converted per batch."""


class Batch(TypedDict):
    """Hold the images, labels and indices of one step."""

    image: Tensor
    """float32 or float64 [B, C, H, W] in [0, 1]."""
    label: Tensor
    """int64 [B], or [B, classes] of several classes an image; of mixed images float32 [B, classes], their shares."""
    index: Tensor
    """int64 [B], the index of each image in its part, in any order of the epoch."""
    draw: NotRequired[Tensor]
    """int64 [B], the number of each image in its epoch, where an image may occur several times in one."""
    images: NotRequired[int]
    """Number of images of the whole batch, where this is a rank's share of it; the share is empty, and holds one image
    of weight 0, where there are more ranks than images."""


class LoaderState(TypedDict):
    """Record how many batches of an epoch a loader has yielded."""

    epoch: int
    given: int


@dataclass(eq=False)
class FloatImages:
    """Serve images in memory, or mapped ones, uint8 [N, C, H, W], as floats in [0, 1].

    Of images in memory a slice is a view, without a copy.
    """

    uint8: Tensor | MappedImages
    dtype: torch.dtype = torch.float32

    @cached_property
    def floats(self) -> Tensor | None:
        """Return all images as floats; None where they would exceed MAX_FLOAT_BYTES, or are mapped."""
        if isinstance(self.uint8, MappedImages):
            return None
        with torch.inference_mode(False):  # training cannot use inference tensors, and validation may come first
            # .data starts with version 0, by which `check_not_modified` finds later writes
            fits = self.uint8.numel() * self.dtype.itemsize <= MAX_FLOAT_BYTES
            return to_float(self.uint8, self.dtype).data if fits else None

    def release(self) -> None:
        """Free the float copy until the next access."""
        self.__dict__.pop("floats", None)

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        """Return the chosen images as floats [B, C, H, W]."""
        return self.floats[chosen] if self.floats is not None else to_float(self.uint8[chosen], self.dtype)


class ResumableLoader(ABC):
    """Continue an epoch where a saved state says; Lightning keeps that state in its checkpoints."""

    def __init__(self, order: BatchOrder) -> None:
        """Start at the first batch of the order's epoch."""
        self.batch_sampler = order
        self._given: LoaderState = {"epoch": 0, "given": 0}
        self._is_resuming = False

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:  # a generator, since Lightning calls iter() before it sets the epoch
        """Iterate over the batches of the epoch, counting them."""
        epoch = self.batch_sampler.epoch
        first = self._given["given"] if self._is_resuming and self._given["epoch"] == epoch else 0
        self._is_resuming = False
        given = self._given = {"epoch": epoch, "given": first}
        for batch in self._batches(first):
            given["given"] += 1
            yield batch

    @abstractmethod
    def _batches(self, first: int) -> Iterator[Batch]:
        """Iterate over the batches of this epoch from batch `first` on."""

    def state_dict(self) -> LoaderState:
        """Return how many batches of the latest epoch were yielded."""
        return self._given.copy()

    def load_state_dict(self, state: LoaderState) -> None:
        """Continue once from this state; every later epoch starts at its first batch."""
        self._given, self._is_resuming = state.copy(), True


class MemoryLoader(ResumableLoader):
    """Load batches of a part that is held in memory or mapped into it, with their labels."""

    def __init__(self, images: FloatImages, labels: Tensor, order: BatchOrder) -> None:
        """Start on the CPU."""
        super().__init__(order)
        self.images, self.labels = images, labels
        self.device = torch.device("cpu")

    def to_device(self, device: torch.device) -> None:
        """Serve batches on this device from now on; batches that never change are copied there once."""
        if device != self.device:
            self.device = device
            self.__dict__.pop("_fixed_batches", None)

    def release(self) -> None:
        """Free the float images until the next batch is requested."""
        self.__dict__.pop("_fixed_batches", None)
        self.images.release()

    def _batches(self, first: int) -> Iterator[Batch]:
        return self.batches(first, len(self))

    def batches(self, first: int, stop: int) -> Iterator[Batch]:
        """Iterate over batches `first` to `stop` of the order's current epoch, without counting them as yielded."""
        order = self.batch_sampler
        if not order.shuffle and self.images.floats is not None:
            check_not_modified(batch["image"] for batch in self._fixed_batches)
            yield from self._fixed_batches[first:stop]
            return
        indices = order.sequence()
        for number in range(first, min(stop, len(order))):
            places = order.places(number)
            index = indices[places]
            chosen = index if order.shuffle else places
            batch: Batch = {"image": self.images[chosen], "label": self.labels[chosen], "index": index}
            yield self._on_device(with_place(batch, order, number))

    @cached_property
    def _fixed_batches(self) -> list[Batch]:
        """Return all batches in file order, as views that every epoch uses again."""
        order = self.batch_sampler
        slices = [order.places(number) for number in range(len(order))]
        index = order.sequence()
        with torch.inference_mode(False):
            views = [Batch(image=self.images[s], label=self.labels[s], index=index[s]) for s in slices]
            return [self._on_device(with_place(view, order, number)) for number, view in enumerate(views)]

    def _on_device(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        return cast(Batch, move_data_to_device(batch, self.device))


def with_draws(batch: Batch, order: BatchOrder, first: int) -> Batch:
    """Return a batch whose first image has the number `first` in its epoch, with its draws where images may recur."""
    draw = order.draws(first, len(batch["index"]))
    return batch if draw is None else {**batch, "draw": draw}


def with_place(batch: Batch, order: BatchOrder, number: int) -> Batch:
    """Return the batch of this number, with its draws where images may recur, and its size where ranks share it."""
    if order.weights is not None:
        batch = with_draws(batch, order, order.places(number).start)
    return batch if order.share.ranks == 1 else {**batch, "images": order.images_in(number)}


def check_not_modified(images: Iterable[Tensor]) -> None:
    """Check that no network or augmentation wrote to images that are kept from epoch to epoch.

    Raises:
        UserError: where one did.
    """
    if any(image._version for image in images):
        raise UserError(
            "model, augmentation: expected a network and an augmentation that leave their input as it is;"
            " got one that writes to it."
        )


def to_float(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Convert uint8 to floats in [0, 1].

    Raises:
        UserError: for any other dtype, whose range is unknown; a float image would be divided in place.
    """
    if image.dtype != torch.uint8:
        raise UserError(f"images: expected uint8, from 0 to 255; got {str(image.dtype).removeprefix('torch.')}.")
    return image.to(dtype).div_(255)  # in place: dividing uint8 would allocate a float copy beside the result
