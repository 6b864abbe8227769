"""Cache decoded images in files that are mapped into memory, shared by workers, trials and later runs."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.places import cache_folder
from copycat.data.columns import Indices
from copycat.data.decode import UnreadableImage, decoder_versions
from copycat.data.lazy_images import EncodedImages
from copycat.data.progress import parallel_map
from copycat.data.split import digest

FOLDER = "pixels"
PIXELS, OUTCOMES, LOCK, UNFINISHED = ".pixels", ".json", ".lock", ".tmp"
"""Suffixes of the files of cached images: their pixels, digests and errors, its lock, and pixels that are written."""


@dataclass(frozen=True)
class MappedImages:
    """Serve images of a file that holds the pixels of all; the operating system reads the pages that are used."""

    path: Path
    count: int
    size: int
    chosen: NDArray[np.int64] | None = None
    """Index in the file of each image; None: all, in the file's order."""

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (self.count if self.chosen is None else len(self.chosen), 3, self.size, self.size)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """Return image `index`, uint8 [3, size, size], or several, [B, 3, size, size], as a copy."""
        place: Any = index.numpy() if isinstance(index, Tensor) else index
        return torch.from_numpy(np.array(self._pixels[place if self.chosen is None else self.chosen[place]]))

    def select(self, indices: Indices) -> "MappedImages":
        """Return some of the images, in the order given."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(self, chosen=chosen if self.chosen is None else self.chosen[chosen])

    def read(self) -> Tensor:
        """Return all images of the file in memory, uint8 [N, 3, size, size]."""
        return torch.from_numpy(np.fromfile(self.path, dtype=np.uint8).reshape(self.shape))

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        return np.memmap(self.path, dtype=np.uint8, mode="r", shape=(self.count, 3, self.size, self.size))

    def __getstate__(self) -> Mapping[str, Any]:
        """Leave out the mapped pixels: each process maps the file itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_pixels"}


@dataclass(frozen=True)
class CachedImages:
    """Hold the images that could be decoded, and the digest or the error of each that was listed."""

    images: MappedImages
    outcomes: Sequence[str | UnreadableImage]
    may_recover: Sequence[int]
    """Indices of unreadable images whose files may be readable without a change of them."""


@dataclass(frozen=True, kw_only=True)
class PixelCache:
    """Decode each image of a data set once, into a file that is named by all that its pixels depend on.

    The file is written under a lock, to another name until it is whole: two processes build it once, and a killed one
    leaves nothing that is used. Files that were not used for longest are removed where the cache would grow too large.

    Args:
        root: names the images, as for `DigestCache`.
        size, fit, max_pixels: of the decoded images, as for `decode`.
        max_bytes: size of all cached files, at most.
    """

    root: Path | str
    size: int
    fit: str
    max_pixels: int | None
    max_bytes: int

    def load(self, encoded: EncodedImages, count: int) -> CachedImages:
        """Return so many images, decoded now where they are not cached.

        Raises:
            UserError: where they do not fit into the cache, or the cache cannot be written to.
        """
        path = cache_folder() / FOLDER / f"{self._key(encoded, count)}{PIXELS}"
        cached = self._find(path, encoded, count)
        if cached is not None:
            return cached
        needed = count * 3 * self.size**2
        if needed > self.max_bytes:
            raise UserError(
                f"data.cache_gb: expected {needed / 2**30:.3g} or more, for {count} images;"
                f" got {self.max_bytes / 2**30:.3g}. Type a larger one, or data.cache=false."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(LOCK)):
                cached = self._find(path, encoded, count)  # another process may have built it meanwhile
                if cached is None:
                    self._make_room(path, needed)
                    _build(path, encoded, count, what="Decoding into the cache")
                    cached = _read(path, encoded, count, self.size)
        except OSError as error:
            raise UserError(
                f"data.cache: expected {needed / 2**30:.3g} GB that can be written in {path.parent};"
                f" {(error.strerror or str(error)).lower()}. Type data.cache=false, or set COPYCAT_CACHE."
            ) from error
        assert cached is not None
        return cached

    def _find(self, path: Path, encoded: EncodedImages, count: int) -> CachedImages | None:
        """Return cached images; None where there are none, or one can be read now that could not be read then."""
        cached = _read(path, encoded, count, self.size)
        if cached is None or any(not isinstance(_decode(encoded, at), UnreadableImage) for at in cached.may_recover):
            return None
        return cached

    def _key(self, encoded: EncodedImages, count: int) -> str:
        root = self.root if isinstance(self.root, str) else str(self.root.resolve())
        settings = (root, self.size, self.fit, self.max_pixels, *decoder_versions())
        hasher = blake2b(repr(settings).encode(errors="surrogateescape"), digest_size=16)
        for index in range(count):
            hasher.update(f"{encoded.key(index)}\0{encoded.stamp(index)}\n".encode(errors="surrogateescape"))
        return hasher.hexdigest()

    def _make_room(self, path: Path, needed: int) -> None:
        """Remove what a killed process left, and the least recently used files until there is room."""
        for left in path.parent.glob(f"{path.stem}*{UNFINISHED}"):
            left.unlink(missing_ok=True)
        files = sorted(_stat_files(path.parent), key=lambda file: file[1].st_mtime)
        total = needed + sum(about.st_size for _, about in files)
        for file, about in files:
            if total <= self.max_bytes:
                return
            with suppress(OSError):  # Windows keeps a file that another process has mapped
                file.unlink()
                file.with_suffix(OUTCOMES).unlink(missing_ok=True)
                total -= about.st_size


def _stat_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.glob(f"*{PIXELS}"):
        with suppress(OSError):  # another process may remove it
            yield file, file.stat()


def _read(path: Path, encoded: EncodedImages, count: int, size: int) -> CachedImages | None:
    """Return cached images; None where there are none, or they are not whole."""
    try:
        recorded = json.loads(path.with_suffix(OUTCOMES).read_bytes())
        errors = {int(index): error for index, error in recorded["errors"].items()}
        outcomes: list[str | UnreadableImage] = [str(one) for one in recorded["digests"]]
        for index, (reason, is_too_large, *_) in errors.items():
            outcomes[index] = UnreadableImage(Path(encoded.key(index)), str(reason), is_too_large=bool(is_too_large))
        images = MappedImages(path, count - len(errors), size)
        if len(outcomes) != count or path.stat().st_size != np.prod(images.shape, dtype=np.int64):
            return None
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return CachedImages(images, outcomes, [index for index, (_, _, *may_recover) in errors.items() if any(may_recover)])


def _decode(encoded: EncodedImages, index: int) -> Tensor | UnreadableImage:
    try:
        return encoded[index]
    except UnreadableImage as error:
        return error


def _build(path: Path, encoded: EncodedImages, count: int, *, what: str) -> None:
    digests: list[str] = []
    errors: dict[int, tuple[str, bool, bool]] = {}

    def pixels(images: Iterable[Tensor | UnreadableImage]) -> Iterator[bytes]:
        for index, image in enumerate(images):
            if isinstance(image, UnreadableImage):
                # of the system, as for too many open files or a lack of permission; a file that is missing has no stamp
                is_of_system = isinstance(image.__cause__, OSError) and image.__cause__.errno is not None
                errors[index] = image.reason, image.is_too_large, is_of_system and encoded.stamp(index) is not None
                digests.append("")
            else:
                digests.append(digest(image))
                yield image.contiguous().numpy().tobytes()

    with _whole_file(path) as file:
        for content in pixels(parallel_map(partial(_decode, encoded), count, what=what)):
            file.write(content)
    write_whole(path.with_suffix(OUTCOMES), json.dumps({"digests": digests, "errors": errors}).encode())


@contextmanager
def _whole_file(path: Path) -> Iterator[Any]:
    """Yield a file that gets its name once all is written; on an error it is removed."""
    unfinished = path.with_suffix(UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:  # Ctrl-C too
        unfinished.unlink(missing_ok=True)
        raise
