"""Serve the parts of one data source as a LightningDataModule."""

import os
from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from copycat.config.errors import UserError
from copycat.config.options import is_ours
from copycat.config.printable import printable
from copycat.data import keyed_random
from copycat.data.augmentation.exactness import check_exactness
from copycat.data.augmentation.pipeline import Pipeline
from copycat.data.augmentation.transforms import Augmentation, Mixing, Unchanged, UniformNumbers
from copycat.data.batch_order import WHOLE, BatchOrder, Share
from copycat.data.decoding_loader import DecodingLoader
from copycat.data.keyed_random import ClassDraws
from copycat.data.labels import count_classes, label_codes
from copycat.data.loaders import Batch, FloatImages, MemoryLoader, to_float
from copycat.data.pixel_cache import MappedImages
from copycat.data.split import Part, Source, check_loaded
from copycat.data.splitting import split

Loader = MemoryLoader | DecodingLoader
FINGERPRINTED_TOGETHER = 4096  # images whose labels become text at once
PROBED_IMAGES = 2  # training images on which a user's augmentation is checked


class DataModule(pl.LightningDataModule):
    """Split a data source into parts and serve batches of each part to the Trainer.

    Args:
        source: loads the official parts.
        split, holdout, folds, fold, split_seed: see `copycat.data.splitting.split`.
        batch_size: images per batch in every part; None: the whole part is one batch.
        shuffle: whether the training part has a new order every epoch; None: where an epoch has several batches.
        sampler: balanced: each epoch draws as many images as the training part has, with replacement, so that every
            class is expected equally often; None: each image once.
        seed: of the order or the draws, and of the augmentation.
        workers: processes that decode a data set too large for memory; None: one per core.
        augmentation: applied to training batches only.
        dtype: of the images in a batch, float32 or float64.
    """

    def __init__(
        self,
        source: Source,
        *,
        split: str | None = None,
        holdout: float = 0.2,
        folds: int = 5,
        fold: int | None = None,
        split_seed: int = 0,
        batch_size: int | None = None,
        shuffle: bool | None = False,
        sampler: str | None = None,
        seed: int = 0,
        workers: int | None = None,
        augmentation: Augmentation | Mixing | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Store the settings; images are read at first use."""
        super().__init__()
        self.source, self.seed, self.batch_size, self._shuffle = source, seed, batch_size, shuffle
        self.sampler = sampler
        self._workers = workers
        self.dtype = dtype
        self.augmentation = None if isinstance(augmentation, Unchanged) else augmentation
        self.mixing = augmentation if isinstance(augmentation, Mixing) else None
        """The augmentation, where it mixes images and their labels."""
        self._split = {"how": split, "holdout": holdout, "folds": folds, "fold": fold, "seed": split_seed}
        self._loaders: dict[tuple[str, bool, bool], Loader] = {}
        self._floats: dict[str, FloatImages] = {}
        self._device = torch.device("cpu")
        self._share, self._local_ranks = WHOLE, 1
        self._is_exact = False
        self.has_official_parts = False
        """Whether the parts are the source's own; known once they are read."""

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """Return `train`, `val` and, where there is one, `test`; read at first use.

        Raises:
            UserError: where the source cannot be read, or not be split as configured.
        """
        loaded = self.source.load()
        check_loaded(loaded, self.source.classes)  # a source may learn its classes only as it loads
        parts = split(loaded, **self._split)  # type: ignore[arg-type]
        self.has_official_parts = parts["train"] is loaded["train"]
        return parts

    def share_parts(self, other: "DataModule") -> None:
        """Share the parts of a module that has the same source and split, instead of reading them again."""
        self.__dict__["parts"], self._floats = other.parts, other._floats
        self.has_official_parts = other.has_official_parts
        self.source = other.source  # which may learn its classes only as it loads

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, by label."""
        _ = self.parts  # which loads the source
        return tuple(self.source.classes)

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return self.parts["train"].is_multi_label

    def classes_without_images(self, part: str) -> list[str]:
        """Return the classes that no image of a part has."""
        counts = count_classes(self.parts[part].labels, len(self.classes))
        return [name for name, count in zip(self.classes, counts, strict=True) if not count]

    def classes_of_all_images(self, part: str) -> list[str]:
        """Return the classes that every image of a part has, where images may have several."""
        if not self.is_multi_label:
            return []
        counts = count_classes(self.parts[part].labels, len(self.classes))
        return [name for name, count in zip(self.classes, counts, strict=True) if count == len(self.parts[part])]

    @cached_property
    def shuffle(self) -> bool:
        """Return whether each epoch has a new order.

        A part that is one batch keeps its order by default: another order would change the bits of its sums. A
        sampler draws a new order.
        """
        if self.sampler is not None:
            return True
        if self._shuffle is not None:
            return self._shuffle
        return self.batch_size is not None and self.batch_size < len(self.parts["train"])

    def balanced_class_weights(self, key: str) -> list[float]:
        """Return n / (k · count) for each of the k classes, by its count among the n training images.

        Where images may have several classes it is (n - count) / count, so that both sides of a class weigh the same.

        Raises:
            UserError: where a class has no training image, or in a multi-label set every one; it begins with `key`.

        Source: King and Zeng 2001, Logistic Regression in Rare Events Data; as scikit-learn's `balanced`.
        """
        part = self.parts["train"]
        counts = count_classes(part.labels, len(self.classes))
        if part.is_multi_label and len(part) in counts:
            name = printable(self.classes[counts.index(len(part))])
            raise UserError(f"{key}=balanced: expected a training image without {name}; got none. Type {key}=null.")
        if 0 in counts:
            missing = printable(self.classes[counts.index(0)])
            others = f" and {counts.count(0) - 1} more" if counts.count(0) > 1 else ""
            raise UserError(
                f"{key}=balanced: expected a training image of every class; got none of {missing}{others}."
                f" Type {key}=null."
            )
        if part.is_multi_label:
            return [(len(part) - count) / count for count in counts]
        return [sum(counts) / (len(counts) * count) for count in counts]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width) of every image."""
        _, channels, height, width = self.parts["train"].images.shape
        return channels, height, width

    def fingerprint(self) -> dict[str, str]:
        """Return a hash of each part's pixels, labels and order, and under `all` one of all parts.

        A source with a `revision`, as that of the Hugging Face Hub, adds this.
        """
        each = {name: _fingerprint(part) for name, part in self.parts.items()}
        revision = getattr(self.source, "revision", None)
        named = {"revision": str(revision)} if revision else {}
        return each | {"all": blake2b(repr(sorted(each.items())).encode(), digest_size=16).hexdigest()} | named

    def loader(self, name: str, *, shuffle: bool = False, whole: bool = False) -> Loader:
        """Return the loader of a part, or of its `whole` batches on each rank; later calls return the same one."""
        key = name, shuffle, whole
        if key not in self._loaders:
            self._loaders[key] = self._make_loader(name, shuffle=shuffle, share=WHOLE if whole else self._share)
        return self._loaders[key]

    def _make_loader(self, name: str, *, shuffle: bool, share: Share) -> Loader:
        part = self.parts[name]
        weights: Tensor | ClassDraws | None = None
        if shuffle and self.sampler is not None:
            of_classes = self.balanced_class_weights("data.sampler")
            if len(part) > keyed_random.KEYED_ABOVE:
                weights = ClassDraws(part.labels, of_classes)
            else:
                weights = torch.tensor(of_classes, dtype=torch.float64)[part.labels]
        order = BatchOrder(
            length=len(part),
            batch_size=self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            weights=weights,
            share=share,
        )
        if not isinstance(part.images, (Tensor, MappedImages)):
            return DecodingLoader(
                part.images, part.labels, order, digests=part.digests, workers=self.workers, dtype=self.dtype
            )
        if name not in self._floats:  # shuffled or not, nothing is converted twice
            self._floats[name] = FloatImages(part.images, self.dtype)
        loader = MemoryLoader(self._floats[name], part.labels, order)
        loader.to_device(self._device)
        return loader

    @property
    def workers(self) -> int:
        """Return the number of processes that decode; by default one per core, over all ranks of this host."""
        return max(1, (os.cpu_count() or 1) // self._local_ranks) if self._workers is None else self._workers

    def serve_share(self, share: Share, *, local_ranks: int) -> None:
        """Serve one rank's share of each batch from now on, of so many ranks on this host.

        An augmentation that mixes images needs the whole batch, of which the share is taken afterwards.
        """
        self._share, self._local_ranks = share, local_ranks
        self._loaders.clear()

    def to_device(self, device: torch.device) -> None:
        """Serve batches of in-memory parts on this device, so that callers need not move them."""
        self._device = device
        for loader in self._loaders.values():
            if isinstance(loader, MemoryLoader):
                loader.to_device(device)

    def release(self) -> None:
        """Free the float copies of in-memory parts; a later batch converts its images again."""
        for loader in self._loaders.values():
            if isinstance(loader, MemoryLoader):
                loader.release()

    @cached_property
    def _uniform_numbers(self) -> UniformNumbers:
        assert self.augmentation is not None
        return UniformNumbers(length=len(self.parts["train"]), draws=self.augmentation.draws, seed=self.seed)

    def check_augmentation(self) -> None:
        """Check an augmentation that is not Copycat's own on a few training images, once.

        Raises:
            UserError: where it does not follow from the images and their random numbers.
        """
        key = "augmentation" if self.mixing is None else "augmentation.base"
        each = cast(Augmentation | None, self.augmentation) if self.mixing is None else self.mixing.base
        if self._is_exact or each is None or (is_ours(type(each).__module__) and not isinstance(each, Pipeline)):
            return
        images = self.parts["train"].images
        some = torch.stack([images[place] for place in range(min(PROBED_IMAGES, len(self.parts["train"])))])
        check_exactness(each, to_float(some, self.dtype), key=key)
        self._is_exact = True

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a batch while the Trainer trains; called by Lightning."""
        if self.trainer is None or not self.trainer.training:
            return batch
        batch = self.augment(batch, self.trainer.current_epoch)
        return self._take_share(batch) if self._mixes_shares else batch

    @property
    def _mixes_shares(self) -> bool:
        """Return whether a rank needs whole batches, to mix images, of which it takes its share afterwards."""
        return self.mixing is not None and self._share != WHOLE

    def _take_share(self, batch: Batch) -> Batch:
        """Return this rank's share of a whole batch."""
        images = len(batch["label"])
        part = {name: cast(Tensor, values)[self._share.places(images)] for name, values in batch.items()}
        return cast(Batch, part | {"images": images})

    def augment(self, batch: Batch, epoch: int) -> Batch:
        """Return a training batch, augmented for the given epoch."""
        if self.augmentation is None:
            return batch
        uniform = self._uniform_numbers(epoch, batch.get("draw", batch["index"]))
        if self.mixing is None:
            return {**batch, "image": cast(Augmentation, self.augmentation)(batch["image"], uniform)}
        hard = batch["label"]
        label = (hard if hard.ndim == 2 else F.one_hot(hard, len(self.classes))).float()
        image, label = self.mixing.mixed(batch["image"], label, uniform)
        return {**batch, "image": image, "label": label}

    def train_dataloader(self) -> Loader:
        """Return the loader of the training part."""
        return self.loader("train", shuffle=self.shuffle, whole=self._mixes_shares)

    def val_dataloader(self) -> Loader:
        """Return the loader of the validation part."""
        return self.loader("val")

    def test_dataloader(self) -> Loader:
        """Return the loader of the test part."""
        return self.loader("test")


def _fingerprint(part: Part) -> str:
    hasher = blake2b(digest_size=16)
    for first in range(0, len(part), FINGERPRINTED_TOGETHER):  # texts take many times the memory of numbers
        some = slice(first, first + FINGERPRINTED_TOGETHER)
        for digest, label in zip(part.digests[some], label_codes(part.labels[some]), strict=True):
            hasher.update(f"{digest} {label}\n".encode())
    return hasher.hexdigest()
