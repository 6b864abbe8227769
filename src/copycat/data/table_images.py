"""Decode images that are cells of an Arrow table, at each access."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from torch import Tensor

from copycat.data.decode import decode, read_image
from copycat.data.lazy_images import Stamp

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TableImages:
    """Decode cells with the content of an image file; a table on disk is mapped, and small to pickle."""

    rows: Any
    """Dataset of Hugging Face with one column, whose cells are `{"bytes": …, "path": …}`, or bytes."""
    column: str
    part: str
    size: int
    fit: str
    max_pixels: int | None = None

    @property
    def shape(self) -> Sequence[int]:
        """Return [N, 3, size, size]."""
        return (len(self.rows), 3, self.size, self.size)

    def __getitem__(self, index: int) -> Tensor:
        """Decode image `index` to uint8 [3, size, size]."""
        name, content = self._read_cell(index)
        return decode(name, size=self.size, fit=self.fit, max_pixels=self.max_pixels, content=content)

    def read_original(self, index: int, convert: Callable[[Image.Image], T]) -> T:
        """Return what `convert` makes of the open image `index`, in its own size."""
        name, content = self._read_cell(index)
        return read_image(name, convert, max_pixels=self.max_pixels, content=content)

    def _read_cell(self, index: int) -> tuple[Path, bytes | None]:
        cell = self.rows[index][self.column]
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if content is None and path is None:
            content = b""  # an empty cell is an empty file
        return Path(path or self.key(index)), content

    def key(self, index: int) -> str:
        """Return part and index."""
        return f"{self.part}[{index}]"

    def stamp(self, index: int) -> Stamp:
        """Return the same for all images: a changed table has another name in the cache of digests."""
        return (0, 0)
