"""Read labels, groups and images from the rows of a Dataset of Hugging Face, without decoding any image."""

import os
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.data.lazy_images import EncodedImages, LazyImages
from copycat.data.sources.file_names import escape_name
from copycat.data.table_images import TableImages


def read_labels(part: str, rows: Any, column: str) -> list[str]:
    """Return the class of each row; nothing where a part has no labels, as hidden ones of a competition.

    Raises:
        UserError: where some rows have no label, or `train` has none, and for labels that are no words.
    """
    feature = rows.features[column]
    names = getattr(feature, "names", None)
    cells = _read_cells(rows, column).to_pylist()
    hidden = [row for row, cell in enumerate(cells) if cell is None or (names is not None and cell < 0)]
    if hidden and len(hidden) == len(cells) and part != "train":
        return []
    if hidden:
        raise UserError(f"data.label_column: expected a label in each row; {part}[{hidden[0]}] has none.")
    if names is None and not all(isinstance(cell, (str, int)) for cell in cells):
        raise UserError(f"data.label_column: expected words or whole numbers in {column}; got {feature}.")
    return [names[cell] if names is not None else str(cell) for cell in cells]


def read_groups(part: str, rows: Any, column: str) -> list[str]:
    """Return the group of each row.

    Raises:
        UserError: where a row has none.
    """
    cells = _read_cells(rows, column).to_pylist()
    if None in cells:
        raise UserError(f"data.groups: expected a group in each row; {part}[{cells.index(None)}] has none.")
    return [str(cell) for cell in cells]


def read_images(part: str, rows: Any, column: str, **settings: Any) -> tuple[EncodedImages, list[str]]:
    """Return the images, and the name of each: its file's, with the index where that is not enough.

    Args:
        part: name of the part.
        rows: the Dataset.
        column: of the images: cells of the type Image, or the content of files.
        settings: size, fit and max_pixels, of the decoded images.
    """
    from datasets import Image

    if isinstance(rows.features[column], Image):
        rows = rows.cast_column(column, Image(decode=False))
    rows = rows.select_columns([column])
    chunks = _read_cells(rows, column).chunks  # one by one: to combine them would read every image into memory
    paths: list[Any] = [None] * len(rows)
    is_in_files = False
    if isinstance(rows.features[column], Image):
        paths = [path for chunk in chunks for path in chunk.field("path").to_pylist()]
        is_in_files = None not in paths and all(chunk.field("bytes").null_count == len(chunk) for chunk in chunks)
    images: EncodedImages = TableImages(rows=rows, column=column, part=part, **settings)
    if is_in_files:
        root = Path(os.path.commonpath([os.path.dirname(path) for path in paths]))
        paths = [os.path.relpath(path, root) for path in paths]
        images = LazyImages(root=root, files=paths, **settings)
    names = [escape_name(path) if path else f"{part}[{row}]" for row, path in enumerate(paths)]
    if len(set(names)) < len(names):
        names = [f"{name}[{row}]" for row, name in enumerate(names)]
    return images, names


def _read_cells(rows: Any, column: str) -> Any:
    """Return a column as a ChunkedArray of Arrow, which maps the file."""
    return rows.with_format("arrow")[:][column]
