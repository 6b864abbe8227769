"""Load batches of images that are decoded one by one, here or in worker processes."""

import gc
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from copycat.config.malloc import trim_memory
from copycat.data.batch_order import BatchOrder
from copycat.data.decode import UnreadableImage
from copycat.data.lazy_images import EncodedImages
from copycat.data.loaders import Batch, ResumableLoader, to_float, with_place
from copycat.data.split import Decoder, Subset, digest
from copycat.data.streams import derive_seed


class DecodingLoader(ResumableLoader):
    """Load batches of a part whose images are decoded one by one, here or in workers.

    Every epoch makes a new DataLoader. A DataLoader requests its first batches in iter(), before Lightning sets the
    epoch; and it seeds its workers from a generator that advances from epoch to epoch, whereas here everything is a
    function of (seed, epoch). Starting workers costs little beside an epoch of so large a data set.

    Without workers, this process decodes.
    """

    def __init__(
        self,
        images: Decoder,
        labels: Tensor,
        order: BatchOrder,
        *,
        digests: Sequence[str] | None = None,
        workers: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Store the part; workers start with an epoch. Files that change are compared with their `digests`."""
        super().__init__(order)
        self.dataset, self.workers, self.dtype = DecodingDataset(images, labels, digests), workers, dtype

    def _batches(self, first: int) -> Iterator[Batch]:
        order = self.batch_sampler
        if first >= len(order):  # no batch is left, so no worker need start
            return
        if self.workers:
            self.dataset[0]  # imports what decodes images, which each worker would import in each epoch
        # a separate generator, so that starting workers does not advance torch's global one
        own = torch.Generator().manual_seed(derive_seed("workers", order.seed, order.epoch))
        loader: DataLoader[Batch] = DataLoader(
            self.dataset,
            batch_sampler=order.batches(first),
            num_workers=self.workers,
            generator=own,
            worker_init_fn=partial(_begin_worker, os.getpid()),
            multiprocessing_context=find_start_method(self.dataset.images) if self.workers else None,
        )
        batches = iter(loader)
        for place in range(first, len(order)):
            batch = next(batches)
            if place + 1 == len(order):
                del batches  # workers end before the validation that follows the last batch starts others
            converted = cast(Batch, {**batch, "image": to_float(batch["image"], self.dtype)})
            yield with_place(converted, order, place)


def find_start_method(images: Decoder) -> str | None:
    """Return how the workers that decode images have to start; None: as usual on this system."""
    return getattr(unwrap(images), "start_method", None)


def unwrap(images: Decoder) -> Decoder:
    """Return the decoder that a subset, or a subset of one, selects from."""
    while isinstance(images, Subset):
        images = images.decoder
    return images


def exit_with_parent(parent: int, worker: int, *, grace: float = 0.0) -> None:
    """End this worker process as soon as its parent has ended, even while the worker starts.

    `grace` are seconds that it has to end by itself.

    torch's workers watch the parent process that they see once they are ready. If the run is killed before that, they
    see the init process and wait forever.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, name=f"watch{worker}", daemon=True).start()


def _begin_worker(parent: int, worker: int) -> None:
    """Let a worker end with its parent, and share the parent's memory.

    A collection would write to all that it looks at, and the worker would hold what its parent has freed.
    """
    gc.freeze()
    trim_memory()
    exit_with_parent(parent, worker)


@dataclass(eq=False)
class DecodingDataset(Dataset[Batch]):
    """Decode images to uint8, with their labels, at each access: workers ship a quarter of what floats would take."""

    images: Decoder
    labels: Tensor
    digests: Sequence[str] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        """Decode one image with its label and index.

        Raises:
            UnreadableImage: where it cannot be read, or has other pixels than when its digest was computed.
        """
        image = self.images[index]
        if self.digests is not None:
            self._check_unchanged(image, index, self.digests[index])
        return {
            "image": image,
            "label": self.labels[index],
            "index": torch.tensor(index),
        }

    def _check_unchanged(self, image: Tensor, index: int, recorded: str) -> None:
        if self._encoded is None:
            return
        images = self.images
        while isinstance(images, Subset):
            index, images = int(images.indices[index]), images.decoder
        # hashing takes longer than asking for the time of a file
        if self._encoded.may_have_changed(index) and digest(image) != recorded:
            raise UnreadableImage(self._encoded.key(index), "its pixels changed after the run recorded them")

    @cached_property
    def _encoded(self) -> EncodedImages | None:
        images = unwrap(self.images)
        return images if isinstance(images, EncodedImages) else None
