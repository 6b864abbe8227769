"""Decode images that are cells of a Dataset of Hugging Face, at each access."""

from dataclasses import dataclass
from typing import Any

from copycat.data.encoded_cells import EncodedCells
from copycat.data.lazy_images import Stamp


@dataclass(frozen=True, kw_only=True)
class TableImages(EncodedCells):
    """Decode cells with the content of an image file; a table on disk is mapped, and small to pickle."""

    rows: Any
    """Dataset of Hugging Face with one column, whose cells are `{"bytes": …, "path": …}`, or bytes."""
    column: str
    part: str

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def read_cell(self, index: int) -> tuple[str, bytes | None]:
        """Return the name of image `index` and its encoded bytes, or the file that has them and None."""
        cell = self.rows[index][self.column]
        content, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if content is None and path is None:
            content = b""  # an empty cell is an empty file
        return path or self.key(index), content

    def key(self, index: int) -> str:
        """Return part and index."""
        return f"{self.part}[{index}]"

    def stamp(self, index: int) -> Stamp:
        """Return the same for all images: a changed table has another name in the cache of digests."""
        return (0, 0)

    def may_have_changed(self, index: int) -> bool:
        """Return that none has: `datasets` never writes to a table again."""
        return False
