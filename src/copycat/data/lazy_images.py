"""Decode image files at each access, and cache their digests between runs."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from PIL import Image
from torch import Tensor

from copycat.config.atomic_write import write_whole
from copycat.config.places import cache_folder
from copycat.data.decode import decode, decoder_versions, read_image
from copycat.data.split import Decoder

T = TypeVar("T")
Stamp = tuple[int, int]
"""Two numbers that change when an encoded image does."""


@runtime_checkable
class EncodedImages(Decoder, Protocol):
    """Decode images at each access, and name each in the cache of digests."""

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Return what `convert` makes of the open image `index`, in its own size."""

    def key(self, index: int) -> str:
        """Return the name of image `index` in the cache of digests."""

    def stamp(self, index: int) -> Stamp | None:
        """Return the stamp of image `index`; None where there is no such image."""


@dataclass(frozen=True, kw_only=True)
class LazyImages:
    """Decode image files at each access; small to pickle, for a loader's workers."""

    root: Path
    files: Sequence[str]
    size: int
    fit: str
    max_pixels: int | None = None

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (len(self.files), 3, self.size, self.size)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Decode image `index` to uint8 [3, size, size]."""
        return decode(self.root / self.files[index], size=self.size, fit=self.fit, max_pixels=self.max_pixels)

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Return what `convert` makes of the open image `index`, in its own size."""
        return read_image(self.root / self.files[index], convert, max_pixels=self.max_pixels)

    def key(self, index: int) -> str:
        """Return the file of image `index`, relative to the root."""
        return self.files[index]

    def stamp(self, index: int) -> Stamp | None:
        """Return size in bytes and modification time in ns; None where there is no such file."""
        with suppress(OSError, ValueError):  # a null character in a table's path is a ValueError
            about = (self.root / self.files[index]).stat()
            return about.st_size, about.st_mtime_ns
        return None


@dataclass
class DigestCache:
    """Cache digests of decoded images between runs, in one file for each root, size, fit and limit.

    A digest is valid as long as its image keeps its stamp, and Pillow its version. A cache that is damaged or cannot be
    written is ignored, which only costs time. The root is the folder of the files, or the name of a table's content.
    """

    root: Path | str
    size: int
    fit: str
    max_pixels: int | None = None
    entries: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the cache file where there is a valid one."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.entries = {
                str(file): (int(size), int(changed), str(digest)) for file, (size, changed, digest) in kept.items()
            }

    @property
    def path(self) -> Path:
        """Return the cache file, named by a hash of all settings that change pixels."""
        limit = () if self.max_pixels is None else (self.max_pixels,)
        root = self.root if isinstance(self.root, str) else str(self.root.resolve())
        what = repr((root, self.size, self.fit, *limit, *decoder_versions()))
        name = blake2b(what.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        return cache_folder() / "digests" / f"{name}.json"

    def find(self, file: str, stamp: Stamp | None) -> str | None:
        """Return the cached digest of `file`; None where it is unknown or the stamp differs."""
        size, changed, digest = self.entries.get(file, (None, None, None))
        return digest if stamp == (size, changed) else None

    def save(self) -> None:
        """Write the cache file whole or not at all; an error is ignored."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(self.entries).encode())
