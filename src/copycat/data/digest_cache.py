"""Cache the digests of decoded images between runs, in a file that is mapped into memory."""

import json
import time
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copycat.config.atomic_write import write_whole
from copycat.config.places import cache_folder
from copycat.data.columns import DIGEST_BYTES
from copycat.data.decode import decoder_versions
from copycat.data.lazy_images import EncodedImages, Stamp

SUFFIX, OLD_SUFFIX = ".digests", ".json"
MAGIC = b"copycat-digests1"
_ENTRY = np.dtype([("key", "<u8", 2), ("digest", "u1", DIGEST_BYTES)])  # sorted by the first number of its key
_HEAD = len(MAGIC) + DIGEST_BYTES
_NO_STAMP = -1, -1
QUICK_SECONDS, QUICK_FILES = 5e-5, 1024
"""Seconds a file below which threads would take longer to look files up, and files between two looks at the clock."""


@dataclass
class DigestCache:
    """Cache digests of decoded images between runs, in one file for each root, size, fit and limit.

    A digest is valid as long as its image keeps its stamp, and Pillow its version. A cache that is damaged or cannot be
    written is ignored, which only costs time. The root is the folder of the files, or the name of a table's content.

    The file has 32 bytes per image: a hash of name and stamp, by which they are sorted, and the digest. It is mapped,
    so that it takes no memory of its own. Earlier versions wrote JSON, which is read where there is nothing else.
    """

    root: Path | str
    size: int
    fit: str
    max_pixels: int | None = None
    _added: bytearray = field(default_factory=bytearray)
    """Entries that the file lacks, one after the other."""
    _first: memoryview = field(default_factory=lambda: np.empty(0, dtype=np.uint64).data)
    """First number of each key in the file, in memory for the search."""
    _stored: NDArray[np.void] = field(default_factory=lambda: np.empty(0, dtype=_ENTRY))

    def __post_init__(self) -> None:
        """Read the cache file where there is a valid one."""
        with suppress(OSError, ValueError):
            stored = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
            entries = stored[_HEAD:].view(_ENTRY)
            if stored[:_HEAD].tobytes() == _head(stored[_HEAD:].data):
                self._stored, self._first = entries, _first_numbers(entries)
                return
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(self.path.with_suffix(OLD_SUFFIX).read_text(encoding="utf-8"))
            for file, (size, changed, digest) in kept.items():
                self.add(str(file), (int(size), int(changed)), str(digest))
            self._stored = self._sorted()  # what was added stays: it is written in the new format
            self._first = _first_numbers(self._stored)

    @property
    def path(self) -> Path:
        """Return the cache file, named by a hash of all settings that change pixels."""
        limit = () if self.max_pixels is None else (self.max_pixels,)
        root = self.root if isinstance(self.root, str) else str(self.root.resolve())
        what = repr((root, self.size, self.fit, *limit, *decoder_versions()))
        name = blake2b(what.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        return cache_folder() / "digests" / f"{name}{SUFFIX}"

    def find(self, file: str, stamp: Stamp | None) -> str | None:
        """Return the digest of `file` in the cache file; None where it is unknown or the stamp differs."""
        if stamp is None or not len(self._first):
            return None
        key = _key(file, stamp)
        first = int.from_bytes(key[:8], "little")
        for place in range(bisect_left(self._first, first), len(self._first)):
            entry = self._stored[place].tobytes()
            if entry.startswith(key):
                return bytes(entry[len(key) :]).hex()
            if not entry.startswith(key[:8]):
                break
        return None

    def find_all(self, images: EncodedImages, count: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Look up the digests of images one after the other, as long as that is quick: a slow disk is left to threads.

        Returns:
            Digests [count, 16], and which of them were found, [count].
        """
        digests, is_found = np.zeros((count, DIGEST_BYTES), dtype=np.uint8), np.zeros(count, dtype=bool)
        if not len(self._first):
            return digests, is_found
        keys, began = bytearray(), time.perf_counter()
        for index in range(count):
            keys += _key(images.key(index), images.stamp(index) or _NO_STAMP)
            if index % QUICK_FILES == QUICK_FILES - 1 and time.perf_counter() - began > QUICK_SECONDS * index:
                break
        first, second = np.frombuffer(keys, dtype="<u8").reshape(-1, 2).T
        known = np.frombuffer(self._first, dtype=np.uint64)
        place = np.minimum(np.searchsorted(known, first), len(known) - 1)
        is_same = (known[place] == first) & (self._stored["key"][place, 1] == second)
        is_found[: len(first)] = is_same
        digests[is_found] = self._stored["digest"][place[is_same]]
        return digests, is_found

    def add(self, file: str, stamp: Stamp, digest: str) -> None:
        """Add the digest of a file that the cache file lacks; threads may do so at the same time."""
        self._added += _key(file, stamp) + bytes.fromhex(digest)

    def save(self) -> None:
        """Write the cache file, where digests were added, whole or not at all; an error is ignored."""
        if not self._added:
            return
        content = self._sorted().tobytes()
        self._stored, self._first = np.empty(0, dtype=_ENTRY), memoryview(b"")  # Windows replaces no mapped file
        self._added = bytearray()
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, _head(content) + content)

    def _sorted(self) -> NDArray[np.void]:
        """Return all entries, each key once."""
        entries = np.concatenate([self._stored, np.frombuffer(bytes(self._added), dtype=_ENTRY)])
        second, first = entries["key"].T[::-1]
        entries = entries[np.lexsort((second, first))]
        is_new = np.ones(len(entries), dtype=bool)
        is_new[1:] = (entries["key"][1:] != entries["key"][:-1]).any(1)
        return entries[is_new]


def _head(content: bytes | memoryview) -> bytes:
    return MAGIC + blake2b(content, digest_size=DIGEST_BYTES).digest()


def _first_numbers(entries: NDArray[np.void]) -> memoryview:
    return np.ascontiguousarray(entries["key"][:, 0].astype(np.uint64)).data


def _key(file: str, stamp: Stamp) -> bytes:
    text = f"{file}\0{stamp[0]}\0{stamp[1]}"
    return blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()
