"""Load images from a table of paths and labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.places import expand_home
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.csv_columns import check_groups_key, find_columns
from copycat.data.sources.csv_labels import read_labels
from copycat.data.sources.csv_rows import check_rows, included_rows, rows_by_part
from copycat.data.sources.csv_table import CsvTable, read_table
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER, LeftOut
from copycat.data.sources.groups import find_groups
from copycat.data.sources.image_source import ImageSource, LabeledImages
from copycat.data.split import Part


class CsvImages(ImageSource):
    """Load the images that a CSV file lists, one per row, with the names of their classes.

    Args:
        file: the CSV file, UTF-8 with a header.
        root: folder that the paths are relative to; None: that of the file.
        delimiter: `comma`, `semicolon`, `tab` or `bar`; None: the one that the header has most often.
        path_column, label_column: columns of the paths and of the class names; None: found by a usual name.
        label_columns: columns of 1 and 0, one for each class, where images may have several; None: `label_column`.
        label_separator: characters between the classes of an image in `label_column`; None: each has one class.
        split_column: column of `train`, `val` and `test`; None: found by a usual name; `none`: no such column.
        exclude_column: column of rows to leave out, marked by 1, true, yes or x; None and `none` as above.
        groups: a column, or a regular expression that finds the group in the path, see `find_groups`; None: no groups.
        classes: names of the classes in the order of their labels; None: sorted, as numbers where all are.
        image_size, fit, on_unreadable, memory_mb, max_megapixels, cache, cache_gb: see `ImageSource`.
    """

    def __init__(
        self,
        *,
        file: str,
        root: str | None = None,
        delimiter: str | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        label_columns: Sequence[str | int] | None = None,
        label_separator: str | None = None,
        split_column: str | None = None,
        exclude_column: str | None = None,
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
        super().__init__(
            image_size=image_size,
            fit=fit,
            on_unreadable=on_unreadable,
            memory_mb=memory_mb,
            max_megapixels=max_megapixels,
            cache=cache,
            cache_gb=cache_gb,
        )
        self.file = expand_home(file)
        self.folder = self.file.parent if root is None else expand_home(root)
        self.delimiter, self.groups = delimiter, groups
        self.columns: Mapping[str, Any] = {
            "path_column": path_column,
            "label_column": label_column,
            "label_columns": None if label_columns is None else [str(name) for name in label_columns],
            "label_separator": label_separator,
            "classes": classes,
            "split_column": split_column,
            "exclude_column": exclude_column,
        }

    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where the table has them `val` and `test`; fill `classes`.

        Raises:
            UserError: where the table is not as described above, or `on_unreadable` is `stop` and an image unreadable.
        """
        table = read_table(self.file, delimiter=self.delimiter)
        used = find_columns(table, self.columns)
        check_groups_key(self.groups, table.columns)
        paths = table.columns[str(used["path_column"])]
        kept = included_rows(table, used["exclude_column"])
        if count := len(table.lines) - len(kept):
            self.left_out = [LeftOut(escape_name(self.file.name), "excluded by the table", count)]
        labels = read_labels(
            table,
            kept,
            column=used["label_column"],
            columns=self.columns["label_columns"],
            separator=self.columns["label_separator"],
            classes=self.columns["classes"],
            min_classes=self.min_classes,
        )
        check_rows(table, kept, paths, labels.texts)
        self.classes = labels.classes
        rows = rows_by_part(table, kept, used["split_column"])
        groups = self._find_groups(table, rows, paths)
        listed = {
            part: LabeledImages(
                images=LazyImages(
                    root=self.folder.absolute(),
                    files=[paths[row] for row in chosen],
                    size=self.size,
                    fit=self.fit,
                    max_pixels=self.max_pixels,
                ),
                labels=[labels.labels[row] for row in chosen],
                names=[escape_name(paths[row]) for row in chosen],
                places=[f"line {table.lines[row]}: {escape_name(paths[row])}" for row in chosen],
                groups=None if groups is None else groups[part],
            )
            for part, chosen in rows.items()
        }
        folders = {parent for path in paths for parent in Path(path).parents}
        self.synthetic = any((self.folder / folder / SYNTHETIC_MARKER).is_file() for folder in folders)
        return self.read_parts(listed, root=self.folder, key="data.file", where=f"images of {self.file}")

    def _find_groups(
        self, table: CsvTable, rows: Mapping[str, Sequence[int]], paths: Sequence[str]
    ) -> Mapping[str, Sequence[str]] | None:
        """Return the group of each image, from a column or from its path."""
        if self.groups is None:
            return None
        if (cells := table.columns.get(self.groups)) is None:
            return find_groups(self.groups, {part: [paths[row] for row in chosen] for part, chosen in rows.items()})
        for row in (row for chosen in rows.values() for row in chosen):
            if not cells[row]:
                raise table.error(f"expected a group in {self.groups}; got an empty cell.", line=table.lines[row])
        return {part: [cells[row] for row in chosen] for part, chosen in rows.items()}
