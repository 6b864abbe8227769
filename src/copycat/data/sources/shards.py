"""Load images from Parquet files, on disk or at an address."""

from collections.abc import Sequence

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.sources.converted import Manifest, ShardIndex, read_manifest
from copycat.data.sources.converted_rows import list_converted_rows
from copycat.data.sources.folder_walk import LeftOut
from copycat.data.sources.parquet_rows import (
    ParquetFooter,
    ParquetReader,
    find_image_column,
    read_columns,
    read_footer,
    stated_classes,
)
from copycat.data.sources.row_source import RowSource
from copycat.data.sources.row_table import Rows, Shard
from copycat.data.sources.storage import Storage, open_storage

IMAGE_COLUMN, GROUP_ROWS = "image", 16
"""Column of the images, and images of a row group, in shards that `copycat data convert` writes, by their schema."""


class Shards(RowSource):
    """Load the rows of Parquet files in the order of their names.

    A row's image is read with its row group: shards of `copycat data convert` have row groups of a few images.
    """

    option, package = "shards", "pyarrow"

    def read_rows(self) -> Rows:
        """Return the rows, from the index of a conversion where there is one, else from the files."""
        storage, files = open_storage(self.root)
        if files is None and (manifest := read_manifest(storage)) is not None:
            return self._read_converted(storage, manifest)
        footers = self._read_footers(storage, files or storage.list_files(".parquet"))
        if not footers:
            raise UserError(f"data.root: expected Parquet files; {self.root} has none. Type data.root=FOLDER.")
        schema = next(iter(footers.values())).schema
        image = find_image_column(schema, self.image_column, self.root)
        columns: dict[str, list[str]] = {}
        names: list[str] = []
        shards = []
        for name, footer in footers.items():
            found, of_images = self._read_columns(storage, name, footer, image)
            for column, cells in found.items():
                columns.setdefault(column, [""] * len(names)).extend(cells)
            names += of_images
            for cells in columns.values():
                cells.extend([""] * (len(names) - len(cells)))
            shards.append(Shard(name=name, rows=footer.rows, stamp=storage.stamp(name)))
        return Rows(
            address=self.root,
            columns=columns,
            names=names,
            shards=shards,
            reader=ParquetReader(
                storage,
                list(footers),
                [footer.groups for footer in footers.values()],
                [footer.rows for footer in footers.values()],
                image,
            ),
            classes=stated_classes(schema),
        )

    def _read_converted(self, storage: Storage, manifest: Manifest) -> Rows:
        def make_reader(indices: Sequence[ShardIndex]) -> ParquetReader:
            counts = [len(index.names) for index in indices]
            groups = [[min(GROUP_ROWS, count - start) for start in range(0, count, GROUP_ROWS)] for count in counts]
            return ParquetReader(storage, [index.file for index in indices], groups, counts, IMAGE_COLUMN)

        return list_converted_rows(
            manifest,
            storage,
            self.root,
            size=self.size,
            fit=self.fit,
            max_pixels=self.max_pixels,
            make_reader=make_reader,
        )

    def _read_footers(self, storage: Storage, files: Sequence[str]) -> dict[str, ParquetFooter]:
        footers = {}
        for name in files:
            try:
                footers[name] = read_footer(storage, name)
            except Exception as error:  # pyarrow and fsspec raise many types
                reason = f"damaged: {first_line(error)}"
                if self.on_unreadable == "stop":
                    raise UserError(
                        f"data.root: {name} of {self.root} is {reason}. Mend or remove it, or leave it out by"
                        " data.on_unreadable=skip."
                    ) from error
                self.left_out = [*self.left_out, LeftOut(name, reason)]
        return footers

    def _read_columns(
        self, storage: Storage, name: str, footer: ParquetFooter, image: str
    ) -> tuple[dict[str, list[str]], list[str]]:
        if image not in footer.schema.names:
            raise UserError(f"data.root: expected the column {image} in each file; {name} has none.")
        try:
            return read_columns(storage, name, footer.schema, image)
        except Exception as error:  # as above
            raise UserError(f"data.root: {name} of {self.root} is damaged: {first_line(error)}.") from error
