"""Write a data set of Lance, a fragment a shard, and resume where a conversion was killed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.conversion.images import PlannedShard
from copycat.data.progress import show_progress
from copycat.data.sources.converted import Manifest, content_digest
from copycat.data.sources.lance_rows import METADATA


def write_lance(folder: Path, planned: Sequence[PlannedShard], about: Manifest) -> int:
    """Append all shards that are not there yet, each as one version of the data set; return how many were there.

    Raises:
        UserError: where the folder has another data set, or cannot be written to.
    """
    import lance

    try:
        kept = _count_written(lance.dataset(str(folder)), planned) if folder.exists() else 0
        for number in show_progress(range(kept, len(planned)), total=len(planned) - kept, what="Converting shards"):
            table = _make_table(planned[number], about, rows=sum(len(shard.names) for shard in planned))
            lance.write_dataset(
                table, str(folder), mode="append" if number else "create", max_rows_per_file=max(len(table), 1)
            )
    except UserError:
        raise
    except Exception as error:  # Lance raises errors of many types
        raise UserError(f"data convert: Lance can't write {folder}: {first_line(error)}.") from error
    return kept


def _make_table(shard: PlannedShard, about: Manifest, *, rows: int) -> Any:
    import pyarrow as pa

    images = list(shard.read())
    stated = {
        "classes": list(about.classes),
        "separator": about.separator,
        "synthetic": about.synthetic,
        "settings": list(about.settings),
        "rows": rows,
    }
    columns = {
        "image": pa.array([image.content for image in images], pa.binary()),
        "content": pa.array([content_digest(image.content) for image in images], pa.string()),
        **_described(shard),
    }
    return pa.table(columns).replace_schema_metadata({METADATA: json.dumps(stated)})


def _described(shard: PlannedShard) -> dict[str, Any]:
    """Return the columns of names, labels, parts, groups and digests of pixels."""
    import pyarrow as pa

    columns = {
        "name": pa.array(shard.names, pa.string()),
        "label": pa.array(shard.labels, pa.string()),
        "split": pa.array([shard.part] * len(shard.names), pa.string()),
        "pixels": pa.array(shard.pixels, pa.string()),
    }
    return columns if shard.groups is None else {**columns, "group": pa.array(shard.groups, pa.string())}


def _count_written(data: Any, planned: Sequence[PlannedShard]) -> int:
    """Return how many shards are there as planned, with the bytes whose digests they have.

    Raises:
        UserError: where another data set is there.
    """
    fragments = data.get_fragments()
    if len(fragments) > len(planned) or METADATA not in (data.schema.metadata or {}):
        raise _other(data)
    for fragment, shard in zip(fragments, planned, strict=False):
        table = fragment.to_table()
        same = set(_described(shard)) <= set(table.column_names) and all(
            table[column].to_pylist() == cells.to_pylist() for column, cells in _described(shard).items()
        )
        contents = [content_digest(cell.as_py()) for cell in table["image"]] if same else []
        if contents != table["content"].to_pylist():
            raise _other(data)
    return len(fragments)


def _other(data: Any) -> UserError:
    return UserError(f"data convert: expected a new folder; {data.uri} has another data set. Type another folder.")
