"""Load batches from memory or from image files, in an order that is a function of (seed, epoch)."""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from copycat.config.errors import UserError
from copycat.data.split import Decoder
from copycat.data.streams import derive_seed

MAX_FLOAT_BYTES = 2**30
"""Largest size in bytes, as float32, of a data set that is converted once; a larger one is converted per batch."""


class Batch(TypedDict):
    """Hold the images, labels and indices of one step."""

    image: Tensor
    """float32 [B, C, H, W] in [0, 1]."""
    label: Tensor
    """int64 [B]; in a batch of mixed images float32 [B, classes], each image's share of each class."""
    index: Tensor
    """int64 [B], the index of each image in its part, in any order of the epoch."""


class LoaderState(TypedDict):
    """Record how many batches of an epoch a loader has yielded."""

    epoch: int
    given: int


class BatchOrder(Sampler[list[int]]):
    """Sample batches of indices, in file order or in a new order every epoch.

    Args:
        length: number of images.
        batch_size: None for one batch of all images.
        shuffle: whether every epoch has a new order.
        seed: of that order.
    """

    def __init__(self, *, length: int, batch_size: int | None, shuffle: bool, seed: int) -> None:
        """Start at epoch 0."""
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.batch_size = min(batch_size or length, length)
        self.epoch = 0
        self._in_file_order = torch.arange(length)

    @property
    def sampler(self) -> "BatchOrder":
        """Return this object, where Lightning looks for `set_epoch`."""
        # Lightning calls `set_epoch` of a loader's `sampler` and `batch_sampler.sampler`, not of a batch sampler
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
        return torch.randperm(self.length, generator=generator)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch."""
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[list[int]]:
        """Iterate over the batches of this epoch from batch `first` on."""
        for batch in torch.split(self.indices(), self.batch_size)[first:]:
            yield batch.tolist()


class FloatImages:
    """Serve in-memory images, uint8 [N, C, H, W], as float32 in [0, 1]; a slice is a view, without a copy."""

    def __init__(self, images: Tensor) -> None:
        """Store the images; they are converted at first use."""
        self.uint8 = images

    @cached_property
    def floats(self) -> Tensor | None:
        """Return all images as float32; None where they would exceed MAX_FLOAT_BYTES."""
        with torch.inference_mode(False):  # training cannot use inference tensors, and validation may come first
            # .data starts with version 0, by which `check_not_modified` finds later writes
            return to_float(self.uint8).data if self.uint8.numel() * 4 <= MAX_FLOAT_BYTES else None

    def release(self) -> None:
        """Free the float copy until the next access."""
        self.__dict__.pop("floats", None)

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        """Return the chosen images as float32 [B, C, H, W]."""
        return self.floats[chosen] if self.floats is not None else to_float(self.uint8[chosen])


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
    """Load batches of a part that is held in memory.

    Args:
        images: the part's images.
        labels: int64 [N].
        order: of the batches.
    """

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
        size, indices = order.batch_size, order.indices()
        for start in range(first * size, min(stop * size, order.length), size):
            index = indices[start : start + size]
            chosen = index if order.shuffle else slice(start, start + size)
            yield self._on_device({"image": self.images[chosen], "label": self.labels[chosen], "index": index})

    @cached_property
    def _fixed_batches(self) -> list[Batch]:
        """Return all batches in file order, as views that every epoch uses again."""
        order = self.batch_sampler
        slices = [slice(start, start + order.batch_size) for start in range(0, order.length, order.batch_size)]
        index = order.indices()
        with torch.inference_mode(False):
            views = [Batch(image=self.images[s], label=self.labels[s], index=index[s]) for s in slices]
            return [self._on_device(view) for view in views]

    def _on_device(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        image, label, index = (batch[name].to(self.device) for name in ("image", "label", "index"))
        return {"image": image, "label": label, "index": index}


class DecodingLoader(ResumableLoader):
    """Load batches of a part whose images are decoded one by one, here or in workers.

    Every epoch makes a new DataLoader. A DataLoader requests its first batches in iter(), before Lightning sets the
    epoch; and it seeds its workers from a generator that advances from epoch to epoch, whereas here everything is a
    function of (seed, epoch). Starting workers costs little beside an epoch of so large a data set.

    Args:
        images: decoded at each access.
        labels: int64 [N].
        order: of the batches.
        workers: processes; 0 decodes in this one.
    """

    def __init__(self, images: Decoder, labels: Tensor, order: BatchOrder, *, workers: int) -> None:
        """Store the part; workers start with an epoch."""
        super().__init__(order)
        self.dataset, self.workers = DecodingDataset(images, labels), workers

    def _batches(self, first: int) -> Iterator[Batch]:
        order = self.batch_sampler
        if first >= len(order):  # no batch is left, so no worker need start
            return
        # a separate generator, so that starting workers does not advance torch's global one
        own = torch.Generator().manual_seed(derive_seed("workers", order.seed, order.epoch))
        rest = order.batches(first)
        yield from DataLoader(
            self.dataset,
            batch_sampler=rest,
            num_workers=self.workers,
            generator=own,
            worker_init_fn=partial(exit_with_parent, os.getpid()),
        )


def exit_with_parent(parent: int, worker: int) -> None:
    """End this worker process as soon as its parent has ended, even while the worker starts.

    torch's workers watch the parent process that they see once they are ready. If the run is killed before that, they
    see the init process and wait forever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name=f"watch{worker}", daemon=True).start()


class DecodingDataset(Dataset[Batch]):
    """Decode images as dataset items.

    Args:
        images: decoded at each access.
        labels: int64 [N].
    """

    def __init__(self, images: Decoder, labels: Tensor) -> None:
        """Store images and labels; nothing is decoded."""
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        """Decode one image with its label and index."""
        return {"image": to_float(self.images[index]), "label": self.labels[index], "index": torch.tensor(index)}


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


def to_float(image: Tensor) -> Tensor:
    """Convert uint8 to float32 in [0, 1].

    Raises:
        UserError: for any other dtype, whose range is unknown; a float image would be divided in place.
    """
    if image.dtype != torch.uint8:
        raise UserError(f"images: expected uint8, from 0 to 255; got {str(image.dtype).removeprefix('torch.')}.")
    return image.float().div_(255)  # in place: dividing uint8 would allocate a float copy beside the result
