"""Decode labeled images of any origin into parts, in memory or on demand."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.combinations import IMAGE_SIZE
from copycat.config.errors import UserError
from copycat.data.columns import DIGEST_BYTES, DigestColumn, select
from copycat.data.decode import UnreadableImage
from copycat.data.digest_cache import DigestCache
from copycat.data.labels import count_classes
from copycat.data.lazy_images import EncodedImages, JoinedEncoded, LazyImages
from copycat.data.pixel_cache import PixelCache
from copycat.data.progress import parallel_map
from copycat.data.sources.folder_walk import LeftOut
from copycat.data.split import Decoder, Part, Subset, digest


@dataclass(frozen=True, kw_only=True)
class LabeledImages:
    """List the encoded images of one part."""

    images: EncodedImages
    labels: Sequence[int | Sequence[int]] | NDArray[np.int64]
    """Index of each image's class; of several classes an image, 1 for each that it has."""
    names: Sequence[str]
    """Name of each image, as text that can be printed and stored."""
    places: Sequence[str] | None = None
    """Where messages find each image, such as `line 7: cat/1.png`; None: by its name."""
    groups: Sequence[str] | None = None
    """Group of each image; None: no groups."""
    digests: Sequence[str] | None = None
    """Digest of the pixels of each image, where it is known without decoding."""


class ImageSource(ABC):
    """Decode images of any size to squares of one size; the base of sources of a user's own images.

    Args:
        image_size: side of the square that every image becomes, in pixels; None: 64.
        fit: how an image becomes a square: `crop`, `squash` or `pad`, see `decode_pixels`.
        on_unreadable: `stop` at unreadable images, or `skip` them and list them in `Part.unreadable`.
        memory_mb: a data set whose decoded images take more is read once for its digests, then decoded as needed.
        max_megapixels: larger images count as unreadable; None: 89.
        cache: whether to keep decoded images in a file that later runs use too, see `PixelCache`.
        cache_gb: size of the files of all data sets, at most, in GB.

    Raises:
        UserError: where `memory_mb` is no whole number.
    """

    def __init__(
        self,
        *,
        image_size: int | None,
        fit: str,
        on_unreadable: str,
        memory_mb: int,
        max_megapixels: float | None,
        cache: bool,
        cache_gb: float,
    ) -> None:
        """Check the settings; nothing is read."""
        if not isinstance(memory_mb, int):
            raise UserError(f"data.memory_mb: expected a whole number >= 0; got {memory_mb!r}.")
        self.size = IMAGE_SIZE if image_size is None else image_size
        self.fit, self.on_unreadable = fit, on_unreadable
        self.memory = memory_mb * 2**20
        self.max_pixels = None if max_megapixels is None else round(max_megapixels * 1e6)
        self.cache_bytes = round(cache_gb * 2**30) if cache else None
        self.classes: Sequence[str] = ()
        self.min_classes = 2  # least number of classes: one suffices to evaluate a run
        self.left_out: Sequence[LeftOut] = ()
        self.warnings: Sequence[str] = ()
        self.synthetic = False

    @abstractmethod
    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where there are such images `val` and `test`; fill `classes`."""

    def read_parts(
        self, listed: Mapping[str, LabeledImages], *, root: Path | str, key: str, where: str
    ) -> dict[str, Part]:
        """Decode the images of all parts, or read their digests where they exceed the memory.

        Args:
            listed: the images of each part, in order.
            root: names the images in the cache of digests.
            key: configuration key that messages begin with.
            where: describes the origin of the images in messages.

        Raises:
            UserError: where `on_unreadable` is `stop` and an image unreadable, or no image of a class can be read.
        """
        count = sum(len(part.labels) for part in listed.values())
        in_memory = count * 3 * self.size**2 <= self.memory
        if self.cache_bytes is not None:
            cache = PixelCache(
                root=root, size=self.size, fit=self.fit, max_pixels=self.max_pixels, max_bytes=self.cache_bytes
            )
            parts = _read_cached(listed, cache, in_memory=in_memory)
        else:
            parts = self._read_parts(listed, None if in_memory else root)
        unreadable = [line for part, _ in parts.values() for line in part.unreadable]
        if unreadable and self.on_unreadable == "stop":
            has_too_large = any(has_too_large for _, has_too_large in parts.values())
            allow = " Larger images: data.max_megapixels=NUMBER." if has_too_large else ""
            raise UserError(
                f"{key}: {len(unreadable)} of {count} {where} can't be read, first {unreadable[0]}. "
                f"Mend or remove them, or leave them out by data.on_unreadable=skip.{allow}"
            )
        for name, (part, _) in parts.items():
            was = count_classes(torch.tensor(listed[name].labels), len(self.classes))
            now = count_classes(part.labels, len(self.classes))
            lost = [label for label, before, after in zip(self.classes, was, now, strict=True) if before and not after]
            if lost:
                raise UserError(
                    f"{key}: no image of {', '.join(lost)} in {name} can be read, first {part.unreadable[0]}."
                )
        return {name: part for name, (part, _) in parts.items()}

    def _read_parts(self, listed: Mapping[str, LabeledImages], root: Path | str | None) -> dict[str, tuple[Part, bool]]:
        """Return the parts, in memory where there is no root that names their cache of digests."""
        known = None if root is None else DigestCache(root, self.size, self.fit, self.max_pixels)
        try:
            return {name: self._read_part(name, part, known) for name, part in listed.items()}
        finally:
            if known is not None:  # after Ctrl-C too: the next run need not read these files again
                known.save()

    def _read_part(self, name: str, listed: LabeledImages, known: DigestCache | None) -> tuple[Part, bool]:
        """Return the part, and whether an image has too many pixels."""
        encoded, count = listed.images, len(listed.labels)
        store = torch.empty(count, 3, self.size, self.size, dtype=torch.uint8) if known is None else None

        def read(index: int) -> str | UnreadableImage:
            """Decode image `index`, store it where images are held in memory, and return its digest."""
            if listed.digests is not None and store is None:
                return listed.digests[index]
            stamp = encoded.stamp(index) if known is not None else None  # before decoding: the file may change then
            if known is not None and (known_digest := known.find(encoded.key(index), stamp)):
                return known_digest
            try:
                image = encoded[index]
            except UnreadableImage as error:
                return error
            pixels = digest(image)
            if store is not None:
                store[index] = image
            if known is not None and stamp is not None:
                known.add(encoded.key(index), stamp, pixels)
            return pixels

        digests, is_known = np.zeros((count, DIGEST_BYTES), dtype=np.uint8), np.zeros(count, dtype=bool)
        if known is not None and listed.digests is None:
            digests, is_known = known.find_all(encoded, count)
        rest = np.flatnonzero(~is_known)
        found = parallel_map(lambda place: read(int(rest[place])), len(rest), what=f"Reading {name}")
        outcomes = _collect(found, rest, digests)
        good = outcomes.good
        images: Tensor | Decoder = encoded if store is None else store
        if len(good) < count:
            images = store[torch.from_numpy(good)] if store is not None else Subset(encoded, good)
        return _make_part(listed, images, outcomes)


def _read_cached(
    listed: Mapping[str, LabeledImages], cache: PixelCache, *, in_memory: bool
) -> dict[str, tuple[Part, bool]]:
    """Return the parts of cached images, as `ImageSource._read_parts` does; one file holds the images of all parts.

    Files are in the order of their names there, so that another division of them needs no other file.
    """
    joined = JoinedEncoded([part.images for part in listed.values()])
    count = len(joined)
    order = list(range(count))
    if all(isinstance(part.images, LazyImages) for part in listed.values()):
        order.sort(key=joined.key)
    cached = cache.load(JoinedEncoded([joined], order), count)
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)  # of each image among those that were listed for the cache
    is_good = np.array([not isinstance(outcome, UnreadableImage) for outcome in cached.outcomes], dtype=bool)
    row = np.cumsum(is_good) - 1  # of each of these in the file
    pixels = cached.images.read() if in_memory else None
    parts: dict[str, tuple[Part, bool]] = {}
    first = 0
    for name, part in listed.items():
        places = place[first : first + len(part.labels)]
        first += len(part.labels)
        digests = np.zeros((len(places), DIGEST_BYTES), dtype=np.uint8)
        outcomes = _collect((cached.outcomes[one] for one in places), range(len(places)), digests)
        rows = row[places[outcomes.good]]
        images = cached.images.select(rows) if pixels is None else pixels[torch.from_numpy(rows)]
        parts[name] = _make_part(part, images, outcomes)
    return parts


@dataclass(frozen=True)
class Outcomes:
    """Hold the results of reading the images of a part."""

    digests: NDArray[np.uint8]
    """Digest of each image that was listed, uint8 [N, 16]; undefined where it is unreadable."""
    errors: Mapping[int, UnreadableImage]
    """Error of each unreadable image, by index."""

    @property
    def good(self) -> NDArray[np.int64]:
        """Return the indices of the readable images."""
        return np.delete(np.arange(len(self.digests)), list(self.errors))


def _collect(outcomes: Iterable[str | UnreadableImage], indices: Iterable[int], digests: NDArray[np.uint8]) -> Outcomes:
    """Collect the digest or the error of each of these images, beside the known `digests` [N, 16] of others."""
    errors: dict[int, UnreadableImage] = {}
    for index, outcome in zip(indices, outcomes, strict=True):
        if isinstance(outcome, UnreadableImage):
            errors[int(index)] = outcome
        else:
            digests[index] = np.frombuffer(bytes.fromhex(outcome), dtype=np.uint8)
    return Outcomes(digests, errors)


def _make_part(listed: LabeledImages, images: Tensor | Decoder, outcomes: Outcomes) -> tuple[Part, bool]:
    """Return the part of readable images, and whether an image has too many pixels."""
    good, bad, places = outcomes.good, outcomes.errors, listed.places or listed.names
    part = Part(
        images=images,
        labels=torch.from_numpy(np.asarray(listed.labels, dtype=np.int64)[good]),
        names=select(listed.names, good) if bad else listed.names,
        digests=DigestColumn(outcomes.digests[good] if bad else outcomes.digests),
        unreadable=[f"{places[index]}: {error.reason}" for index, error in bad.items()],
        groups=None if listed.groups is None else select(listed.groups, good),
        encoded=Subset(listed.images, good) if bad else listed.images,
    )
    return part, any(error.is_too_large for error in bad.values())
