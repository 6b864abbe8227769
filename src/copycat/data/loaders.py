"""Batches of a part: slices of memory, or images decoded by workers; the order is a function of (seed, epoch)."""

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
from copycat.data.streams import key

AS_FLOAT_AT_MOST = 2**30
"""Bytes: a set that takes no more as float32 is converted once, a larger one batch by batch."""


class Batch(TypedDict):
    image: Tensor
    """float32 [B, C, H, W] in [0, 1]."""
    label: Tensor
    """int64 [B]; of a batch whose images are mixed, float32 [B, classes], their shares."""
    index: Tensor
    """int64 [B], the place of each image in its part, whatever the order."""


class Given(TypedDict):
    """How far a loader got: batches given of an epoch."""

    epoch: int
    given: int


class Order(Sampler[list[int]]):
    """Batches of indices: in file order, or in a new order each epoch."""

    def __init__(self, *, length: int, batch_size: int | None, shuffle: bool, seed: int) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.batch_size = min(batch_size or length, length)
        self.epoch = 0
        self._in_file_order = torch.arange(length)

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
            return self._in_file_order
        generator = torch.Generator().manual_seed(key("order", self.seed, self.epoch))
        return torch.randperm(self.length, generator=generator)

    def __iter__(self) -> Iterator[list[int]]:
        return self.batches()

    def batches(self, first: int = 0) -> Iterator[list[int]]:
        """The epoch's batches, from one of them on."""
        for batch in torch.split(self.indices(), self.batch_size)[first:]:
            yield batch.tolist()


class AsFloat:
    """Images in memory, uint8 [N, C, H, W], given as float32 in [0, 1]; a slice of them is a view, copied nowhere."""

    def __init__(self, images: Tensor) -> None:
        self.uint8 = images

    @cached_property
    def whole(self) -> Tensor | None:
        with torch.inference_mode(False):  # validation may ask first, and training could not use what it got
            # .data counts as not written to yet
            return to_float(self.uint8).data if self.uint8.numel() * 4 <= AS_FLOAT_AT_MOST else None

    def release(self) -> None:
        """Let go of it, until it is asked for again."""
        self.__dict__.pop("whole", None)

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        return self.whole[chosen] if self.whole is not None else to_float(self.uint8[chosen])


class Resumable(ABC):
    """A loader that goes on where a state says; Lightning keeps that state in its checkpoints."""

    def __init__(self, order: Order) -> None:
        self.batch_sampler = order
        self._given: Given = {"epoch": 0, "given": 0}
        self._goes_on = False

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:  # lazy: Lightning calls iter() before it tells the epoch
        epoch = self.batch_sampler.epoch
        first = self._given["given"] if self._goes_on and self._given["epoch"] == epoch else 0
        self._goes_on = False
        given = self._given = {"epoch": epoch, "given": first}
        for batch in self._batches(first):
            given["given"] += 1
            yield batch

    @abstractmethod
    def _batches(self, first: int) -> Iterator[Batch]:
        """The epoch's batches, from one of them on."""

    def state_dict(self) -> Given:
        """What was given of the epoch that began last."""
        return self._given.copy()

    def load_state_dict(self, state: Given) -> None:
        """Go on from there, once; every later epoch is given from its start."""
        self._given, self._goes_on = state.copy(), True


class MemoryLoader(Resumable):
    """Batches of a part that lives in memory."""

    def __init__(self, images: AsFloat, labels: Tensor, order: Order) -> None:
        super().__init__(order)
        self.images, self.labels = images, labels
        self.device = torch.device("cpu")

    def place(self, device: torch.device) -> None:
        """Give batches on that device from now on; those that never change are copied there once."""
        if device != self.device:
            self.device = device
            self.__dict__.pop("_unchanging", None)

    def release(self) -> None:
        """Let go of the images as floats, until a batch is asked for."""
        self.__dict__.pop("_unchanging", None)
        self.images.release()

    def _batches(self, first: int) -> Iterator[Batch]:
        return self.between(first, len(self))

    def between(self, first: int, stop: int) -> Iterator[Batch]:
        """Batches of the epoch that the order stands at; whoever asks keeps count of what was given."""
        order = self.batch_sampler
        if not order.shuffle and self.images.whole is not None:
            check_untouched(batch["image"] for batch in self._unchanging)
            yield from self._unchanging[first:stop]
            return
        size, indices = order.batch_size, order.indices()
        for start in range(first * size, min(stop * size, order.length), size):
            index = indices[start : start + size]
            chosen = index if order.shuffle else slice(start, start + size)
            yield self._placed({"image": self.images[chosen], "label": self.labels[chosen], "index": index})

    @cached_property
    def _unchanging(self) -> list[Batch]:
        """The batches of every epoch, in file order: views, made once."""
        order = self.batch_sampler
        slices = [slice(start, start + order.batch_size) for start in range(0, order.length, order.batch_size)]
        index = order.indices()
        with torch.inference_mode(False):
            views = [Batch(image=self.images[s], label=self.labels[s], index=index[s]) for s in slices]
            return [self._placed(view) for view in views]

    def _placed(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        image, label, index = (batch[name].to(self.device) for name in ("image", "label", "index"))
        return {"image": image, "label": label, "index": index}


class DecodingLoader(Resumable):
    """Batches of a part whose images are decoded one by one, here or in workers.

    Its DataLoader is made anew each epoch. A DataLoader asks for the first batches as soon as iter() is called, which
    is before Lightning tells the epoch; and it seeds its workers from a generator that goes on from epoch to epoch,
    where here all is a function of (seed, epoch). Starting workers takes little beside an epoch of a set that large.
    """

    def __init__(self, images: Decoder, labels: Tensor, order: Order, *, workers: int) -> None:
        super().__init__(order)
        self.dataset, self.workers = Decoding(images, labels), workers

    def _batches(self, first: int) -> Iterator[Batch]:
        order = self.batch_sampler
        if first >= len(order):  # workers need not start for nothing
            return
        # a generator of its own, so that starting workers draws nothing from torch's
        own = torch.Generator().manual_seed(key("workers", order.seed, order.epoch))
        rest = order.batches(first)
        yield from DataLoader(
            self.dataset,
            batch_sampler=rest,
            num_workers=self.workers,
            generator=own,
            worker_init_fn=partial(end_with, os.getpid()),
        )


def end_with(parent: int, worker: int) -> None:
    """End this process once its parent is gone, however early.

    torch's workers watch the parent that they find when they are ready: of a run that is killed before, that is the
    init process, and they wait for ever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name=f"watch{worker}", daemon=True).start()


class Decoding(Dataset[Batch]):
    """Images that are decoded when they are asked for."""

    def __init__(self, images: Decoder, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return {"image": to_float(self.images[index]), "label": self.labels[index], "index": torch.tensor(index)}


def check_untouched(images: Iterable[Tensor]) -> None:
    """Raises:
    UserError: where a network or an augmentation wrote to one of these, which are kept from epoch to epoch.
    """
    if any(image._version for image in images):
        raise UserError(
            "model, augmentation: expected a network and an augmentation that leave their input as it is;"
            " got one that writes to it."
        )


def to_float(image: Tensor) -> Tensor:
    """Convert uint8 to float32 in [0, 1].

    Raises:
        UserError: for any other dtype, of which it is not known what 1 means; a float image would be changed itself.
    """
    if image.dtype != torch.uint8:
        raise UserError(f"images: expected uint8, from 0 to 255; got {str(image.dtype).removeprefix('torch.')}.")
    return image.float().div_(255)  # to divide whole numbers, torch makes floats of all of them beside the result
