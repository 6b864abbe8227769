"""Decode image files at each access."""

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from PIL import Image
from torch import Tensor

from copycat.data.columns import Indices, select
from copycat.data.decode import decode, read_image
from copycat.data.split import Decoder

T = TypeVar("T")
SETTLED_SECONDS = 2.0
"""Seconds since a file's last change below which it may change again and keep its time."""
Stamp = tuple[int, int]
"""Two numbers that change when an encoded image does."""


@runtime_checkable
class EncodedImages(Decoder, Protocol):
    """Decode images at each access, and name each in the cache of digests."""

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Apply `convert` to the open image `index`, in its own size."""

    def key(self, index: int) -> str:
        """Return the name of image `index` in the cache of digests."""

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index`; None where there is no such image."""

    def may_have_changed(self, index: int) -> bool:
        """Return whether image `index` may have other pixels than when it was listed; a guess that is quick to make."""


@dataclass(frozen=True, kw_only=True)
class LazyImages:
    """Decode image files at each access; small to pickle, for a loader's workers."""

    root: Path
    files: Sequence[str]
    size: int
    fit: str
    max_pixels: int | None = None
    listed: float = field(default_factory=time.time, compare=False)
    """Time at which the files were listed, in seconds since the epoch."""

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (len(self.files), 3, self.size, self.size)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def select(self, indices: Indices) -> "LazyImages":
        """Return some of the images, in the order given, without the files of the others."""
        return replace(self, files=select(self.files, indices))

    def path(self, index: int) -> str:
        """Return the file of image `index`: a string, as pathlib interns the names of all files."""
        return os.path.join(self.root, self.files[index])

    def __getitem__(self, index: int) -> Tensor:
        """Decode image `index` to uint8 [3, size, size]."""
        return decode(self.path(index), size=self.size, fit=self.fit, max_pixels=self.max_pixels)

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Apply `convert` to the open image `index`, in its own size."""
        return read_image(self.path(index), convert, max_pixels=self.max_pixels)

    def key(self, index: int) -> str:
        """Return the file of image `index`, relative to the root."""
        return self.files[index]

    def stamp(self, index: int) -> Stamp | None:
        """Return size in bytes and modification time in ns; None where there is no such file."""
        with suppress(OSError, ValueError):  # a null character in a table's path is a ValueError
            about = os.stat(self.path(index))
            return about.st_size, about.st_mtime_ns
        return None

    def may_have_changed(self, index: int) -> bool:
        """Return whether the file of image `index` is newer than the list of files, or nearly so."""
        with suppress(OSError):
            about = os.stat(self.path(index))
            return max(about.st_mtime, about.st_ctime) > self.listed - SETTLED_SECONDS
        return False


class JoinedEncoded:
    """Decode images of several origins as one: in the order given, or one after the other."""

    def __init__(self, parts: Sequence[EncodedImages], order: Sequence[int] | None = None) -> None:
        """Join all images of each; `order` has indices in what is joined."""
        self._parts, self._order = parts, order
        self._ends = list(accumulate(part.shape[0] for part in parts))

    def __len__(self) -> int:
        """Return the number of images."""
        return self._ends[-1] if self._order is None else len(self._order)

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (len(self), *self._parts[0].shape[1:])

    def _find(self, index: int) -> tuple[EncodedImages, int]:
        place = index if self._order is None else self._order[index]
        part = bisect_right(self._ends, place)
        return self._parts[part], place - (self._ends[part - 1] if part else 0)

    def __getitem__(self, index: int) -> Tensor:
        """Decode image `index` to uint8 [3, size, size]."""
        part, place = self._find(index)
        return part[place]

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Apply `convert` to the open image `index`, in its own size."""
        part, place = self._find(index)
        return part.read_original(place, convert)

    def key(self, index: int) -> str:
        """Return the name of image `index` in the cache of digests."""
        part, place = self._find(index)
        return part.key(place)

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index`; None where there is no such image."""
        part, place = self._find(index)
        return part.stamp(place)

    def may_have_changed(self, index: int) -> bool:
        """Return whether image `index` may have other pixels than when it was listed."""
        part, place = self._find(index)
        return part.may_have_changed(place)
