"""Decode images whose files are cells of a table, or members of an archive, at each access."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from torch import Tensor

from copycat.data.decode import decode, read_image

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EncodedCells(ABC):
    """Decode the content of image files that `read_cell` reads; small to pickle, for a loader's workers."""

    size: int
    fit: str
    max_pixels: int | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def read_cell(self, index: int) -> tuple[str, bytes | None]:
        """Return the name of image `index` and its encoded bytes; None where the name is a file that has them.

        Raises:
            UnreadableImage: where they cannot be read.
        """

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (len(self), 3, self.size, self.size)

    def __getitem__(self, index: int) -> Tensor:
        """Decode image `index` to uint8 [3, size, size]."""
        name, content = self.read_cell(index)
        return decode(name, size=self.size, fit=self.fit, max_pixels=self.max_pixels, content=content)

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Apply `convert` to the open image `index`, in its own size."""
        name, content = self.read_cell(index)
        return read_image(name, convert, max_pixels=self.max_pixels, content=content)
