"""Define data sources and the parts of labeled images that they load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.columns import Indices


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
        shape, dtype = list(self.images.shape), getattr(self.images, "dtype", torch.uint8)
        if len(shape) != 4 or dtype != torch.uint8:
            raise UserError(f"data: expected images as uint8 [N, C, H, W]; got {_word(dtype)} {shape}.")
        fits = self.labels.ndim == 1 or (self.labels.ndim == 2 and self.labels.shape[1] > 1)
        if not fits or len(self.labels) != shape[0] or self.labels.dtype != torch.int64:
            got = f"{_word(self.labels.dtype)} {list(self.labels.shape)}"
            raise UserError(f"data: expected labels as int64 {shape[:1]}, one an image; got {got}.")
        for field, values in (("names", self.names), ("digests", self.digests), ("groups", self.groups)):
            if values is not None and len(values) != shape[0]:
                raise UserError(f"data: expected {shape[0]} {field}, one an image; got {len(values)}.")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def is_multi_label(self) -> bool:
        """Return whether images may have several classes, or none."""
        return self.labels.ndim == 2


class Source(Protocol):
    """Load labeled images. A user's own source needs these three members and no base class."""

    classes: Sequence[str]
    """Names of the classes, by label; may be filled by `load`."""
    synthetic: bool
    """Whether images are drawn, not photographed: results are marked as such."""

    def load(self) -> Mapping[str, Part]:
        """Return the official parts: `train`, and `val` and `test` where the source has them."""


def digest(image: Tensor) -> str:
    """Hash one uint8 image [C, H, W] and its shape."""
    pixels = image.contiguous().numpy()
    return blake2b(pixels.tobytes(), digest_size=16, person=repr(tuple(image.shape)).encode()[:16]).hexdigest()


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
