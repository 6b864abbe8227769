"""Describe a data set whose rows hold encoded images: its columns of text, its shards and how to read a row."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.data.decode import UnreadableImage
from copycat.data.encoded_cells import EncodedCells
from copycat.data.lazy_images import Stamp
from copycat.data.sources.converted import content_digest
from copycat.data.sources.csv_table import CsvTable
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.storage import LocalStorage

OTHER_CONTENT = "its bytes are not those that were converted"


class RowReader(Protocol):
    """Read encoded images by their row; it opens files in the process that reads, and can be pickled."""

    @property
    def start_method(self) -> str | None:
        """Return how processes start that read; None: as usual on this system."""

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row; any exception means that the row is damaged."""


@dataclass(frozen=True)
class RowTable(CsvTable):
    """Hold the columns of a data set by rows as text; `lines` are the rows' numbers from 0."""

    address: str = ""

    def error(self, text: str, *, line: int | None = None) -> UserError:
        """Return an error that names the data set, and the row where one is given."""
        return UserError(f"data.root: {escape_name(self.address)}{'' if line is None else f', row {line}'}: {text}")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Describe one file of rows."""

    name: str
    rows: int
    stamp: Stamp
    """Numbers that change when the file does."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Hold all rows of a data set, in the order of its shards."""

    address: str
    columns: Mapping[str, Sequence[str]]
    """Cells of each column that is no image, as text."""
    names: Sequence[str]
    """File name of each image; empty where it has none."""
    shards: Sequence[Shard]
    reader: RowReader
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Classes of each column of labels in their order, where the data set states them."""
    separator: str | None = None
    """Characters between the classes of a row, where the data set states that it has several."""
    contents: Sequence[str] | None = None
    """Digest of each encoded image, recorded when the data set was converted."""
    pixels: Sequence[str] | None = None
    """Digest of the pixels of each image, recorded then, where they are valid for this reading."""
    synthetic: bool = False

    @property
    def table(self) -> RowTable:
        """Return the columns as the table that tables of images are read by."""
        return RowTable(Path(self.address), self.columns, range(len(self.names)), self.address)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Return the first row of each shard."""
        return np.cumsum([0, *(shard.rows for shard in self.shards)][:-1], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class RowImages(EncodedCells):
    """Decode the images of some rows; what a shard's rows share is held once a shard."""

    reader: RowReader
    rows: NDArray[np.int64]
    names: Sequence[str]
    shards: Sequence[Shard]
    starts: NDArray[np.int64]
    """First row of each shard."""
    contents: NDArray[np.bytes_] | None = None
    """Recorded digest of each encoded image, which its bytes must have."""

    @classmethod
    def of(cls, data: Rows, rows: Sequence[int], **settings: Any) -> "RowImages":
        """Return the images of some rows of a data set; `settings` are size, fit and max_pixels."""
        return cls(
            reader=data.reader,
            rows=np.asarray(rows, dtype=np.int64),
            names=[data.names[row] for row in rows],
            shards=data.shards,
            starts=data.starts,
            contents=None if data.contents is None else np.array([data.contents[row] for row in rows], dtype="S"),
            **settings,
        )

    @property
    def start_method(self) -> str | None:
        """Return how workers start."""
        return self.reader.start_method

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def read_cell(self, index: int) -> tuple[str, bytes]:
        """Return the name of image `index` and its encoded bytes.

        Raises:
            UnreadableImage: where the row is damaged, or has other bytes than were converted.
        """
        name = self.names[index] or self.key(index)
        try:
            content = self.reader.read(int(self.rows[index]))
        except Exception as error:  # pyarrow, fsspec and Lance raise many types for damaged and missing files
            text = str(error).partition("\n")[0] or type(error).__name__
            raise UnreadableImage(name, f"damaged: {text[:300]}") from error
        if self.contents is not None and content_digest(content).encode() != self.contents[index]:
            raise UnreadableImage(name, f"damaged: {OTHER_CONTENT}")
        return name, content

    def key(self, index: int) -> str:
        """Return the name of the shard, with the row's number in it."""
        shard = self._find_shard(index)
        return f"{self.shards[shard].name}[{self.rows[index] - self.starts[shard]}]"

    def stamp(self, index: int) -> Stamp:
        """Return the stamp of the image's shard."""
        return self.shards[self._find_shard(index)].stamp

    def may_have_changed(self, index: int) -> bool:
        """Return whether the image's shard on disk has another stamp; what was converted has digests of its bytes."""
        shard, storage = self.shards[self._find_shard(index)], getattr(self.reader, "storage", None)
        if self.contents is None and isinstance(storage, LocalStorage):
            with suppress(OSError):
                return storage.stamp(shard.name) != shard.stamp
        return False

    def _find_shard(self, index: int) -> int:
        return int(np.searchsorted(self.starts, self.rows[index], side="right")) - 1


@dataclass(frozen=True)
class Places(Sequence[str]):
    """Find where messages say that images lie: their shards and rows, and their names where they have some."""

    images: RowImages

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        """Return the place of an image."""
        name = escape_name(self.images.names[index])
        return f"{self.images.key(index)}: {name}" if name else self.images.key(index)
