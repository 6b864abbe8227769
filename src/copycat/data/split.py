"""Define data sources and the parts of labeled images that they load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.data.channel_statistics import measure_channels
from copycat.data.columns import Indices

PARTS = ("train", "val", "test")
"""Names of the parts that a source may load."""


@runtime_checkable
class Decoder(Protocol):
    """Decode images on demand, for data sets that do not fit in memory; pickled where workers decode."""

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, C, H, W]."""

    def __getitem__(self, index: int) -> Tensor:
        """Return image `index`, uint8 [C, H, W]."""


@dataclass(frozen=True)
class Subset:
    """Select some images of a decoder, in the order given."""

    decoder: Decoder
    indices: Indices

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, C, H, W] of the selected images."""
        return (len(self.indices), *self.decoder.shape[1:])

    def __getitem__(self, index: int) -> Tensor:
        """Return the selected image `index`, uint8 [C, H, W]."""
        return self.decoder[int(self.indices[index])]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Hold the labeled images of the training, the validation or the test part of a source.

    Raises:
        UserError: where shapes or dtypes are not as documented, which a user's own source may get wrong.
    """

    images: Tensor | Decoder
    """uint8 [N, C, H, W]."""
    labels: Tensor
    """int64 [N], an index into the source's classes; or [N, classes] of 0 and 1, of several classes an image."""
    names: Sequence[str]
    """Name of each image in messages: a file, or an index in a file."""
    digests: Sequence[str]
    """Hash of each image's pixels and shape: equal where two images are equal byte for byte."""
    unreadable: Sequence[str] = ()
    """Files left out because they could not be read, each with the reason."""
    set_aside: Sequence[str] = ()
    """Images left out because the test part has them, or their group, too."""
    groups: Sequence[str] | None = None
    """Group of each image, such as the animal or patient on it: a split keeps a group in one part. None: no groups."""
    encoded: Decoder | None = None
    """The same images as they are stored, an `EncodedImages` or a `Subset` of one; None: only `images` has them."""

    def __post_init__(self) -> None:
        """Check shapes and dtypes."""
        for field in ("images", "labels"):
            if isinstance(getattr(self, field), np.ndarray):
                raise UserError(f"data: expected {field} as a tensor; got a NumPy array. Wrap it in torch.from_numpy.")
        shape, dtype = list(self.images.shape), getattr(self.images, "dtype", torch.uint8)
        if len(shape) != 4 or dtype != torch.uint8:
            raise UserError(f"data: expected images as uint8 [N, C, H, W]; got {_word(dtype)} {shape}.")
        fits = self.labels.ndim == 1 or (self.labels.ndim == 2 and self.labels.shape[1] > 1)
        if not fits or len(self.labels) != shape[0] or self.labels.dtype != torch.int64:
            got = f"{_word(self.labels.dtype)} {list(self.labels.shape)}"
            raise UserError(f"data: expected labels as int64 {shape[:1]}, one per image; got {got}.")
        for field, values in (("names", self.names), ("digests", self.digests), ("groups", self.groups)):
            if values is not None and len(values) != shape[0]:
                raise UserError(f"data: expected {shape[0]} {field}, one per image; got {len(values)}.")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return self.labels.ndim == 2

    @cached_property
    def channel_statistics(self) -> Mapping[str, list[float]]:
        """Return the `mean` and `std` of each channel's pixels, measured once for all runs that share the part."""
        return measure_channels(self.images)


class Source(Protocol):
    """Load labeled images. A user's own source needs these three members and no base class."""

    classes: Sequence[str]
    """Names of the classes, by label; may be filled by `load`."""
    synthetic: bool
    """Whether images are drawn, not photographed: results are marked as such."""

    def load(self) -> Mapping[str, Part]:
        """Return the official parts: `train`, and `val` and `test` where the source has them."""


def check_loaded(loaded: Any, classes: Sequence[str]) -> None:
    """Check what a source has loaded, which may be a user's own.

    Raises:
        UserError: where these are no parts with images of one shape and labels of these classes.
    """
    if not isinstance(loaded, Mapping) or "train" not in loaded or not set(loaded) <= set(PARTS):
        got = one_of(map(str, loaded)) if isinstance(loaded, Mapping) else f"a {type(loaded).__name__}"
        raise UserError(f"data: expected load() to return a dict of parts, train and maybe val and test; got {got}.")
    most = len(classes) - 1
    for name, part in loaded.items():
        if not isinstance(part, Part):
            raise UserError(f"data: expected a copycat.data.split.Part as {name}; got a {type(part).__name__}.")
        if not len(part):
            raise UserError(f"data: expected at least one image in {name}; got none.")
        if (shape := list(part.images.shape[1:])) != (expected := list(loaded["train"].images.shape[1:])):
            raise UserError(f"data: expected images of {expected} in {name}, as in train; got {shape}.")
        low, high = part.labels.aminmax()
        if part.is_multi_label:
            if list(part.labels.shape[1:]) != [most + 1] or low < 0 or high > 1:
                raise UserError(f"data: expected labels of 0 and 1 for each of {most + 1} classes in {name}.")
        elif low < 0 or high > most:
            raise UserError(f"data: expected labels from 0 to {most} in {name}; got {int(low)} to {int(high)}.")
    if len(set(classes)) < len(classes):
        raise UserError(f"data: expected classes of different names; got {one_of(classes)}.")


def digest(image: Tensor) -> str:
    """Hash one uint8 image [C, H, W] and its shape."""
    pixels = image.contiguous().numpy()
    return blake2b(pixels.tobytes(), digest_size=16, person=repr(tuple(image.shape)).encode()[:16]).hexdigest()


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
