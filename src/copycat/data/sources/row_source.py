"""Load data sets whose rows hold encoded images with labels: the base of Parquet shards, tars and Lance."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.suggestions import one_of
from copycat.data.sources.csv_columns import IGNORE, USUAL_NAMES, check_groups_key, find_column
from copycat.data.sources.csv_labels import read_labels
from copycat.data.sources.csv_rows import rows_by_part
from copycat.data.sources.file_names import escape_name, is_address
from copycat.data.sources.folder_scan import PART_FOLDERS, PART_OF_WORD
from copycat.data.sources.groups import find_groups
from copycat.data.sources.image_source import ImageSource, LabeledImages
from copycat.data.sources.row_table import Places, RowImages, Rows
from copycat.data.split import Part

_WORD = re.compile("[a-z]+")


class RowSource(ImageSource):
    """Load the rows of a data set, in the order of its files.

    Args:
        root: a folder, a file, or an address that fsspec opens.
        image_column: column of the images, or in tars the ending of their names; None: the one that holds images.
        label_column: column of the class names; None: found by a usual name.
        label_separator: characters between the classes of an image in `label_column`; None: each has one class.
        split_column: column of `train`, `val` and `test`; None: found by a usual name; `none`: no such column.
        groups: a column, or a regular expression that finds the group in the file's name; None: no groups.
        classes: names of the classes in the order of their labels; None: as the data set states them, else sorted.
        image_size, fit, on_unreadable, memory_mb, max_megapixels, cache, cache_gb: see `ImageSource`.

    Raises:
        UserError: where the package is not installed that reads the data set.
    """

    option: ClassVar[str]
    """Name of the option of `data`."""
    package: ClassVar[str | None] = None
    """Optional package that reads the data set."""

    def __init__(
        self,
        *,
        root: str,
        image_column: str | None = None,
        label_column: str | None = None,
        label_separator: str | None = None,
        split_column: str | None = None,
        groups: str | None = None,
        classes: Sequence[str | int] | None = None,
        image_size: int | None = None,
        fit: str = "crop",
        on_unreadable: str = "stop",
        memory_mb: int = 2048,
        max_megapixels: float | None = None,
        cache: bool = False,
        cache_gb: float = 20,
    ) -> None:
        """Check the settings; nothing is read."""
        if self.package is not None:
            require_package(self.package, wanted_by=f"data={self.option}")
        super().__init__(
            image_size=image_size,
            fit=fit,
            on_unreadable=on_unreadable,
            memory_mb=memory_mb,
            max_megapixels=max_megapixels,
            cache=cache,
            cache_gb=cache_gb,
        )
        self.root = root if is_address(root) else str(expand_home(root).absolute())
        self.image_column, self.label_column, self.label_separator = image_column, label_column, label_separator
        self.split_column, self.groups, self.stated_classes = split_column, groups, classes

    @abstractmethod
    def read_rows(self) -> Rows:
        """Return all rows of the data set, without their images.

        Raises:
            UserError: where there is no such data set, or it is damaged.
        """

    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where the data set has them `val` and `test`; fill `classes`.

        Raises:
            UserError: where the data set is not as described above, or `on_unreadable` is `stop` and a row unreadable.
        """
        data = self.read_rows()
        if not data.names:
            raise UserError(f"data.root: expected rows in {self.root}; got none.")
        self.synthetic = data.synthetic
        table, columns = data.table, data.columns
        label = find_column(columns, "label_column", self.label_column, USUAL_NAMES["label_column"])
        split = find_column(columns, "split_column", self.split_column, USUAL_NAMES["split_column"])
        if label is None:
            raise UserError(
                f"data.label_column: expected the column of the class names; {escape_name(self.root)} has"
                f" {one_of(columns) or 'none of words or whole numbers'}. Type data.label_column=NAME."
            )
        check_groups_key(self.groups, columns)
        every = range(len(data.names))
        labels = read_labels(
            table,
            every,
            column=label,
            separator=self.label_separator or data.separator,
            classes=self.stated_classes or data.classes.get(label),
            min_classes=self.min_classes,
        )
        if (missing := next((row for row in every if not labels.texts[row]), None)) is not None:
            raise table.error("expected a label; got an empty cell.", line=missing)
        self.classes = labels.classes
        rows = rows_by_part(table, every, split) if split or self.split_column == IGNORE else _rows_by_file(data)
        groups = self._find_groups(data, rows)
        listed = {
            part: self._list_images(
                data, chosen, [labels.labels[row] for row in chosen], None if groups is None else groups[part]
            )
            for part, chosen in rows.items()
        }
        return self.read_parts(listed, root=f"rows {self.root}", key="data.root", where=f"images of {self.root}")

    def _list_images(
        self,
        data: Rows,
        rows: Sequence[int],
        labels: Sequence[int | list[int]],
        groups: Sequence[str] | None,
    ) -> LabeledImages:
        images = RowImages.of(data, rows, size=self.size, fit=self.fit, max_pixels=self.max_pixels)
        names = [escape_name(name) or images.key(index) for index, name in enumerate(images.names)]
        return LabeledImages(
            images=images,
            labels=labels,
            names=names,
            places=Places(images),
            groups=groups,
            digests=None if data.pixels is None else [data.pixels[row] for row in rows],
        )

    def _find_groups(self, data: Rows, rows: Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[str]] | None:
        if self.groups is None:
            return None
        if (cells := data.columns.get(self.groups)) is None:
            return find_groups(
                self.groups, {part: [data.names[row] for row in chosen] for part, chosen in rows.items()}
            )
        if "" in cells:
            raise data.table.error(f"expected a group in {self.groups}; got an empty cell.", line=list(cells).index(""))
        return {part: [cells[row] for row in chosen] for part, chosen in rows.items()}


def _rows_by_file(data: Rows) -> dict[str, list[int]]:
    """Return the rows of each part, where the name of every file has a word of one, as `train-00000.parquet`.

    Otherwise all are `train`.

    Raises:
        UserError: where some names have a word of another part than train, and others have no single part.
    """
    words = [_WORD.findall(shard.name.lower()) for shard in data.shards]
    found = [{PART_OF_WORD[word] for word in each if word in PART_OF_WORD} for each in words]
    unclear = next((shard.name for shard, parts in zip(data.shards, found, strict=True) if len(parts) != 1), None)
    if unclear is not None and ({"val"} in found or {"test"} in found):
        raise UserError(
            f"data.root: expected files whose names all have the word of one part, as train-00000; got {unclear} beside"
            " others that do. Rename or remove it, or type data.split_column=none to train on all."
        )
    if any(len(parts) != 1 for parts in found) or {"train"} not in found:
        return {"train": list(range(len(data.names)))}
    rows: dict[str, list[int]] = {part: [] for part in PART_FOLDERS if {part} in found}
    for (part,), start, shard in zip(found, data.starts.tolist(), data.shards, strict=True):
        rows[part].extend(range(start, start + shard.rows))
    return rows
