"""The drawn set: cats against other animals and things, made by our own code, so that nothing need be fetched."""

import logging
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.data.chance import Chance
from copycat.data.drawing import VERSION, draw
from copycat.data.part import Part, digest
from copycat.data.raster import SIDE

log = logging.getLogger(__name__)

SHARES = {"train": (72, 209), "val": (33, 50)}
"""Cats among the pictures of each part: the real set's."""

Arrays = dict[str, NDArray[Any]]
"""`<part>_images`, uint8 [N, 3, SIDE, SIDE], and `<part>_labels`, int64 [N]."""


class Drawn:
    """Pictures of 64x64x3 in the real set's sizes and class balance, the same pixels on every machine.

    Drawn at the first use (about half a second) and kept in the cache folder, which COPYCAT_CACHE moves.

    Args:
        seed: which set; no two seeds share a picture.
        warmth: how far colour gives the class away: cats stand in warmer light, the others in colder. At 0 colour says
            nothing and logistic regression is left guessing; at 1 colour is nearly enough.
        train: pictures to learn from; of any number, the first n are the same.
        val: pictures to check on, likewise.

    Raises:
        ValueError: where a number is out of its range.
    """

    synthetic = True
    classes = ("non-cat", "cat")

    def __init__(self, *, seed: int = 0, warmth: float = 0.35, train: int = 209, val: int = 50) -> None:
        if seed < 0:
            raise ValueError(f"seed: expected a whole number from 0, got {seed}.")
        if not (math.isfinite(warmth) and 0 <= warmth <= 1):
            raise ValueError(f"warmth: expected a number from 0 to 1, got {warmth}.")
        for part, count in (("train", train), ("val", val)):
            if count < 1:
                raise ValueError(f"{part}: expected at least 1 picture, got {count}.")
        self.seed = seed
        self.warmth = float(warmth)
        self.sizes = {"train": train, "val": val}

    def load(self) -> dict[str, Part]:
        arrays = self._cached()
        if arrays is None:
            arrays = self._draw()
            self._keep(arrays)
        return {part: as_part(part, arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in self.sizes}

    @property
    def cache(self) -> Path:
        """The file this set is kept in, named by all that decides its pixels."""
        return cache_folder() / f"drawn-{sha256(self._key().encode()).hexdigest()[:16]}.npz"

    def _key(self) -> str:
        return f"version={VERSION} seed={self.seed} warmth={self.warmth!r} sizes={self.sizes}"

    def _draw(self) -> Arrays:
        labels = {part: np.array(labels_of(self.seed, part, count)) for part, count in self.sizes.items()}
        total = sum(self.sizes.values())
        images = {part: np.empty((count, 3, SIDE, SIDE), dtype=np.uint8) for part, count in self.sizes.items()}
        places = [(part, index) for part, count in self.sizes.items() for index in range(count)]
        for part, index in with_progress(places, total=total):
            chance = Chance("picture", self.seed, part, index)
            images[part][index] = draw(chance, is_cat=bool(labels[part][index]), warmth=self.warmth)
        return {f"{part}_images": images[part] for part in images} | {f"{part}_labels": labels[part] for part in labels}

    def _cached(self) -> Arrays | None:
        """What the cache holds of this set; None where it holds nothing, or something damaged."""
        try:
            with np.load(self.cache, allow_pickle=False) as file:
                stored: Arrays = dict(file)
            seal = stored.pop("seal")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            log.warning("%s is damaged (%s): drawing it again.", self.cache, error)
            return None
        if str(seal) != self._seal(stored):
            log.warning("%s is not what was written: drawing it again.", self.cache)
            return None
        return stored

    def _keep(self, arrays: Arrays) -> None:
        """Write the cache, whole or not at all: another process may be at the same."""
        try:
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self.cache.parent, prefix=".drawn-", delete=False) as file:
                try:
                    np.savez(file, seal=np.array(self._seal(arrays)), **arrays)
                    file.close()
                    os.replace(file.name, self.cache)
                except BaseException:
                    file.close()
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            log.warning("cannot keep the drawn set in %s (%s): it will be drawn each time.", self.cache.parent, error)

    def _seal(self, arrays: Arrays) -> str:
        return f"{self._key()} {pixel_hash(arrays)}"


def labels_of(seed: int, part: str, count: int) -> list[int]:
    """Classes in a random order in which the first n pictures, for any n, hold the part's share of cats to within one.

    So the share is exact at the real set's size, and picture i has the same class however many are drawn.
    """
    cats, total = SHARES[part]
    chance = Chance("order", seed, part)
    labels: list[int] = []
    excess = 0  # cats so far beyond the share, in parts of `total`
    for _ in range(count):
        wanted = chance.happens(cats / total)
        is_cat = excess - cats <= -total or (wanted and excess - cats + total < total)
        excess += total * is_cat - cats
        labels.append(int(is_cat))
    return labels


def as_part(part: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Part:
    pixels = torch.from_numpy(images)
    return Part(
        images=pixels,
        labels=torch.from_numpy(labels),
        names=[f"drawn {part}[{index}]" for index in range(len(labels))],
        digests=[digest(image) for image in pixels],
    )


def pixel_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of all arrays with their names, types and shapes; little-endian on every machine."""
    whole = sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        whole.update(f"{name} {little.dtype.str} {little.shape} ".encode() + little.tobytes())
    return whole.hexdigest()


def cache_folder() -> Path:
    """Where sets are kept that can be had again: COPYCAT_CACHE, else the system's folder for caches."""
    import pooch  # late: it brings requests, and reading a set of one's own needs neither

    return Path(os.environ.get("COPYCAT_CACHE") or pooch.os_cache("copycat"))


def with_progress(places: list[tuple[str, int]], *, total: int) -> Iterator[tuple[str, int]]:
    """The same places; a bar on standard error once it has taken a second."""
    started, task = monotonic(), None
    with ExitStack() as stack:
        for done, place in enumerate(places):
            if task is None and monotonic() - started > 1:
                from rich.console import Console
                from rich.progress import Progress

                progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
                task = progress.add_task("drawing pictures", total=total, completed=done)
            yield place
            if task is not None:
                progress.update(task, completed=done + 1)
