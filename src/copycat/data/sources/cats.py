"""Load the lecture's cats: two HDF5 files of 64 x 64 photographs."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from copycat.config.errors import UserError
from copycat.config.places import expand_home
from copycat.data.memory_cache import cached
from copycat.data.split import Part, digest

SIDE = 64


class Cats:
    """Load 209 training and 50 validation photographs, labeled cat or not.

    The lecture calls the 50 its test set, but chooses by them: so they are `val` here, and there is no `test`.

    Args:
        root: folder with the two files; None: the folder in COPYCAT_DATA, else ./data.
    """

    classes: Sequence[str] = ("non-cat", "cat")
    synthetic: bool = False

    def __init__(self, *, root: str | None = None) -> None:
        """Find the folder; nothing is read."""
        self.root = root or os.environ.get("COPYCAT_DATA") or "./data"
        self._fetch = shlex.join(["copycat", "data", "fetch", "cats", *([root] if root else [])])

    def load(self) -> Mapping[str, Part]:
        """Return `train`, 209 images, and `val`, 50; uint8 [N, 3, 64, 64].

        Raises:
            UserError: where a file is missing, damaged or not the lecture's.
        """
        return {
            "train": self._part("train", stem="train", count=209),
            "val": self._part("val", stem="test", count=50),
        }

    def _part(self, name: str, *, stem: str, count: int) -> Part:
        file = f"{stem}_catvnoncat.h5"
        path = (expand_home(self.root) / file).absolute()
        if not path.is_file():
            raise UserError(f"data=cats: no {file} in {self.root}. Get it by `{self._fetch}`, or set COPYCAT_DATA.")
        return cached(path, name, lambda: [self._read_part(name, file, stem=stem, count=count)])[0]

    def _read_part(self, name: str, file: str, *, stem: str, count: int) -> Part:
        pixels = self._read(file, key=f"{stem}_set_x", shape=(count, SIDE, SIDE, 3), dtype="uint8")
        labels = self._read(file, key=f"{stem}_set_y", shape=(count,), dtype="int64")
        if not np.isin(labels, (0, 1)).all():
            raise self._error(file, f"expected labels 0 and 1 in {stem}_set_y", f"{labels.min()} to {labels.max()}")
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        return Part(
            images=images,
            labels=torch.from_numpy(labels),
            names=[f"{name}[{index}]" for index in range(count)],
            digests=[digest(image) for image in images],
        )

    def _read(self, file: str, *, key: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        expected = f"expected {key} as {dtype} {list(shape)}"
        try:
            with h5py.File(expand_home(self.root) / file, "r") as h5:
                if elsewhere := _external_feature(h5, key):
                    raise self._error(file, f"{expected} in the file itself", elsewhere)
                if not isinstance(array := h5.get(key), h5py.Dataset):
                    raise self._error(file, expected, f"the keys {', '.join(sorted(h5)) or 'of an empty file'}")
                if (array.shape, str(array.dtype)) != (shape, dtype):
                    raise self._error(file, expected, f"{array.dtype} {list(array.shape or ())}")
                return np.asarray(array[()])
        except (OSError, RuntimeError, KeyError) as error:  # h5py raises any of the three for a damaged file
            raise self._error(file, f"expected an HDF5 file with {key}", "a damaged file or another format") from error

    def _error(self, file: str, expected: str, got: str) -> UserError:
        return UserError(
            f"data=cats: {Path(self.root) / file}: {expected}; got {got}. Get it again by `{self._fetch}`."
        )


def _external_feature(h5: h5py.File, key: str) -> str | None:
    """Name the HDF5 feature by which a data set reads its values from another file; None where it has none.

    The link is examined before it is followed, since following it opens the other file.
    """
    link = h5.get(key, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        return "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
    if not isinstance(array := h5.get(key), h5py.Dataset):
        return None
    if array.external is not None:
        return "external storage"
    return "a virtual data set" if array.is_virtual else None
