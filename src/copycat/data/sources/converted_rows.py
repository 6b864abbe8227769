"""List the rows of a conversion from the indices beside its shards, without reading the shards."""

from collections.abc import Callable, Sequence

from copycat.data.digest_cache import DigestCache
from copycat.data.sources.converted import (
    MANIFEST,
    Manifest,
    ShardIndex,
    is_whole,
    pixel_settings,
    read_index,
)
from copycat.data.sources.row_table import RowReader, Rows, Shard
from copycat.data.sources.storage import Storage

SHARD_FILES = "shards"
"""First word of the names under which the digests of shards are cached."""


def list_converted_rows(
    manifest: Manifest,
    storage: Storage,
    address: str,
    *,
    size: int,
    fit: str,
    max_pixels: int | None,
    make_reader: Callable[[Sequence[ShardIndex]], RowReader],
) -> Rows:
    """Return the rows of a conversion.

    The digests of pixels are those of the conversion, where size, fit, limit and decoder are the same and every shard
    is as it was written. Otherwise images are read for their digests, and damaged rows are found.

    Raises:
        UserError: where an index is missing or damaged.
    """
    indices = [read_index(storage, shard, digest) for shard, digest in manifest.shards.items()]
    known = DigestCache(f"{SHARD_FILES} {address}", 0, MANIFEST)
    whole = [is_whole(storage, index, known) for index in indices]
    known.save()
    same_pixels = list(manifest.settings) == pixel_settings(size, fit, max_pixels)
    columns = {
        "split": [index.part for index in indices for _ in index.names],
        "label": [label for index in indices for label in index.labels],
    }
    if indices and indices[0].groups is not None:
        columns["group"] = [group for index in indices for group in index.groups or ()]
    return Rows(
        address=address,
        columns=columns,
        names=[name for index in indices for name in index.names],
        # a damaged shard keeps its place in the order; another stamp keeps its digests from being taken for valid
        shards=[
            Shard(name=index.file, rows=len(index.names), stamp=(index.size, int(index.digest[:14], 16) if ok else -1))
            for index, ok in zip(indices, whole, strict=True)
        ],
        reader=make_reader(indices),
        classes={"label": manifest.classes},
        separator=manifest.separator,
        contents=[digest for index in indices for digest in index.contents],
        pixels=[digest for index in indices for digest in index.pixels] if same_pixels and all(whole) else None,
        synthetic=manifest.synthetic,
    )
