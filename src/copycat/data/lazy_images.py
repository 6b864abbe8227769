"""Images that stay in their files until they are asked for, and the digests that spare reading them all again."""

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from torch import Tensor

from copycat.config.places import cache_folder
from copycat.data.decode import decode, decoder_versions


@dataclass(frozen=True, kw_only=True)
class OnDemand:
    """Image files that are decoded at each access; small to pickle, for a loader's workers."""

    root: Path
    files: Sequence[str]
    size: int
    fit: str
    max_pixels: int | None = None

    @property
    def shape(self) -> Sequence[int]:
        """[N, 3, size, size]."""
        return (len(self.files), 3, self.size, self.size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return decode(self.root / self.files[index], size=self.size, fit=self.fit, max_pixels=self.max_pixels)


@dataclass
class KnownDigests:
    """Digests of decoded files, kept between runs; one cache file for each root, size, fit and limit.

    A digest holds as long as its file keeps its size and its time of change, and Pillow its version. A cache that is
    damaged or can't be written only costs time: it is ignored.
    """

    root: Path
    size: int
    fit: str
    max_pixels: int | None = None
    entries: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.entries = {
                str(file): (int(size), int(changed), str(digest)) for file, (size, changed, digest) in kept.items()
            }

    @property
    def path(self) -> Path:
        limit = () if self.max_pixels is None else (self.max_pixels,)
        what = repr((str(self.root.resolve()), self.size, self.fit, *limit, *decoder_versions()))
        name = blake2b(what.encode(errors="surrogateescape"), digest_size=16).hexdigest()
        return cache_folder() / "digests" / f"{name}.json"

    def stamp(self, file: str) -> tuple[int, int] | None:
        """Size in bytes and time of the last change in ns; None where there is no such file."""
        with suppress(OSError):
            about = (self.root / file).stat()
            return about.st_size, about.st_mtime_ns
        return None

    def find(self, file: str, stamp: tuple[int, int] | None) -> str | None:
        """The digest of `file`, if it is known for this stamp."""
        size, changed, digest = self.entries.get(file, (None, None, None))
        return digest if stamp == (size, changed) else None

    def save(self) -> None:
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(self.entries, file)
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise
