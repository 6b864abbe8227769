"""Write a shard as a Parquet file."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from copycat.data.conversion.images import ImageRow
from copycat.data.sources.shards import GROUP_ROWS, IMAGE_COLUMN


def write_parquet(path: Path, rows: Iterable[ImageRow]) -> None:
    """Write images with their labels, parts and groups, each encoded image as it is."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    text = pa.string()
    image = pa.struct({"bytes": pa.binary(), "path": text})
    schema = pa.schema({IMAGE_COLUMN: image, "label": text, "split": text, "group": text})
    with ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
        for some in _batches(rows, GROUP_ROWS):
            cells = {
                IMAGE_COLUMN: [{"bytes": row.content, "path": row.name} for row in some],
                "label": [row.label for row in some],
                "split": [row.part for row in some],
                "group": [row.group for row in some],
            }
            writer.write_table(pa.table(cells, schema=schema), row_group_size=GROUP_ROWS)


def _batches(rows: Iterable[ImageRow], size: int) -> Iterator[list[ImageRow]]:
    remaining = iter(rows)
    while some := list(islice(remaining, size)):
        yield some
