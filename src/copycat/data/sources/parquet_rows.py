"""Read encoded images from Parquet files by row, and their other columns as text."""

import json
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.data.sources.csv_columns import find_column
from copycat.data.sources.storage import Storage

USUAL_IMAGES = ("image", "img", "jpg", "png", "bytes", "content")
"""Names of the column of images where types leave it open, in lower case."""
OPEN_FILES, KEPT_GROUPS = 64, 4
"""Footers and row groups that each process keeps."""


@dataclass(frozen=True)
class ParquetFooter:
    """State what the footer of a file says."""

    schema: Any
    groups: Sequence[int]
    """Number of rows of each row group."""

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(self.groups)


def read_footer(storage: Storage, name: str) -> ParquetFooter:
    """Read the footer of a Parquet file; errors are pyarrow's, or those of the storage."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(storage.open(name)) as file:
        about = file.metadata
        return ParquetFooter(file.schema_arrow, [about.row_group(i).num_rows for i in range(about.num_row_groups)])


def find_image_column(schema: Any, stated: str | None, address: str) -> str:
    """Return the column of the images: bytes, or a struct with bytes.

    Raises:
        UserError: where there is none, or several and none is stated.
    """
    images = [field.name for field in schema if _holds_images(field.type)]
    usual = images if len(images) == 1 else USUAL_IMAGES
    column = find_column(images, "image_column", stated, usual)
    if column is None:
        raise UserError(
            f"data.image_column: expected the column of the images, of bytes; {address} has"
            f" {one_of(field.name for field in schema)}. Type data.image_column=NAME."
        )
    return column


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(inner.name == "bytes" and _holds_images(inner.type) for inner in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def stated_classes(schema: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of the classes by column, where Hugging Face `datasets` wrote the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind["names"] for name, kind in features.items() if "names" in kind}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def to_texts(column: Any, classes: Sequence[str] | None = None) -> list[str]:
    """Return the cells of an Arrow column as text: empty for none, and of numbered classes their names."""
    cells = column.to_pylist()
    if classes is not None:
        return ["" if cell is None or cell < 0 else classes[cell] for cell in cells]
    return ["" if cell is None else str(cell) for cell in cells]


def plain_columns(schema: Any) -> list[str]:
    """Return the columns of text and whole numbers."""
    from pyarrow import types

    checks = (types.is_string, types.is_large_string, types.is_integer, types.is_boolean, types.is_dictionary)
    return [field.name for field in schema if any(check(field.type) for check in checks)]


def read_columns(storage: Storage, name: str, schema: Any, image: str) -> tuple[dict[str, list[str]], list[str]]:
    """Read the columns of a file that hold numbers or text, and the file names that its images have."""
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    path = "path" if types.is_struct(schema.field(image).type) and _has_path(schema.field(image).type) else None
    plain = plain_columns(schema)
    wanted = [*plain, f"{image}.{path}"] if path else plain
    with ParquetFile(storage.open(name)) as file:
        table = file.read(columns=wanted)
    classes = stated_classes(schema)
    columns = {column: to_texts(table[column], classes.get(column)) for column in plain}
    if path is None:
        return columns, [""] * table.num_rows
    names = [name or "" for chunk in table[image].chunks for name in chunk.field(path).to_pylist()]
    return columns, names


def _has_path(kind: Any) -> bool:
    return any(inner.name == "path" for inner in kind)


@dataclass(frozen=True)
class ParquetReader:
    """Read encoded images by row: a row group at a time, of which each process keeps the last few."""

    storage: Storage
    files: Sequence[str]
    groups: Sequence[Sequence[int]]
    """Number of rows of each row group of each file."""
    counts: Sequence[int]
    """Number of rows of each file."""
    column: str
    state: "_ProcessState" = field(default_factory=lambda: _ProcessState(), repr=False, compare=False)

    @property
    def start_method(self) -> str | None:
        """Return how processes start that read from this storage."""
        return self.storage.start_method

    def read(self, row: int) -> bytes:
        """Return the encoded image of a row."""
        starts = self.state.starts(self.counts)
        file = bisect_right(starts, row) - 1
        within = row - starts[file]
        firsts = [0, *accumulate(self.groups[file])]
        group = bisect_right(firsts, within) - 1
        if group >= len(self.groups[file]):
            raise OSError(f"{self.files[file]} has no row {within}")
        cell = self.state.read_group(self, file, group)[within - firsts[group]].as_py()
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        return content or b""  # an empty cell is an empty file


class _ProcessState:
    """Hold the open files of one process; a fork and a pickle start anew."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.open: OrderedDict[int, Any] = OrderedDict()
        self.kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._starts: Sequence[int] | None = None

    def __reduce__(self) -> tuple[type["_ProcessState"], tuple[()]]:
        return _ProcessState, ()

    def starts(self, counts: Sequence[int]) -> Sequence[int]:
        """Return the first row of each file."""
        if self.process != os.getpid():
            self._reset()
        if self._starts is None:
            self._starts = [0, *accumulate(counts)][:-1]
        return self._starts

    def read_group(self, reader: ParquetReader, file: int, group: int) -> Any:
        """Return the images of a row group, read now where they are not kept."""
        with self.lock:
            key = file, group
            if key not in self.kept:
                if file not in self.open:
                    from pyarrow.parquet import ParquetFile

                    self.open[file] = ParquetFile(reader.storage.open(reader.files[file]))
                    if len(self.open) > OPEN_FILES:
                        self.open.popitem(last=False)[1].close()
                self.open.move_to_end(file)
                # in this thread: a pool of threads, as of pyarrow, may not survive a fork
                cells = self.open[file].read_row_group(group, columns=[reader.column], use_threads=False)[reader.column]
                self.kept[key] = cells.chunk(0) if cells.num_chunks == 1 else cells  # which would be copied
                if len(self.kept) > KEPT_GROUPS:
                    self.kept.popitem(last=False)
            self.kept.move_to_end(key)
            return self.kept[key]
