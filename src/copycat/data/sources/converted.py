"""Define the files that `copycat data convert` writes beside shards: what each holds, and digests of all of it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.data.decode import decoder_versions
from copycat.data.digest_cache import DigestCache
from copycat.data.sources.storage import LocalStorage, Storage

MANIFEST = "copycat.json"
"""File that marks a conversion; it lists the shards once all are written."""
SCHEMA = 1
COPIES = {"shards": ".parquet", "webdataset": ".tar"}
"""Forms of a data set in files, with the ending of each file; an index with the ending .json lies beside it."""


def content_digest(content: bytes) -> str:
    """Hash the content of an encoded image, or of a shard."""
    return blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """List the images of one shard, with digests of each and of the whole."""

    file: str
    part: str
    size: int
    """Of the shard, in bytes."""
    digest: str
    """Of the shard's content."""
    plan: str
    """Digest of all that the shard was to hold: a resumed conversion keeps it where that is the same."""
    names: Sequence[str]
    labels: Sequence[str]
    """Names of classes, several of an image joined by the separator."""
    groups: Sequence[str] | None
    contents: Sequence[str]
    """Digests of the encoded images."""
    pixels: Sequence[str]
    """Digests of the decoded images, with the settings that the manifest states."""
    offsets: Sequence[tuple[int, int]] | None = None
    """First byte and size of each image, in a tar."""

    def dump(self) -> bytes:
        """Return the content of the index file."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes) -> "ShardIndex":
        """Read an index file; raise a ValueError where it is none."""
        try:
            index = cls(**json.loads(content))
            columns = [index.labels, index.contents, index.pixels, index.offsets, index.groups]
            lengths = {len(index.names), *(len(column) for column in columns if column is not None)}
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError("no index of a shard") from error
        if len(lengths) > 1:
            raise ValueError("columns of several lengths")
        return index


def index_name(shard: str) -> str:
    """Return the name of a shard's index file."""
    return f"{shard.rpartition('.')[0]}.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """State what a conversion wrote."""

    form: str
    classes: Sequence[str]
    separator: str | None
    """Between the classes of an image where it may have several."""
    synthetic: bool
    settings: Sequence[Any]
    """Size, fit, limit of pixels and versions of decoders for which `ShardIndex.pixels` are valid."""
    shards: Mapping[str, str]
    """Digest of the index file of each shard, in order; none before all are written."""

    def dump(self) -> bytes:
        """Return the content of the manifest."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1).encode()


def pixel_settings(size: int, fit: str, max_pixels: int | None) -> list[Any]:
    """Return all that the pixels of a decoded image depend on, as JSON holds it."""
    return [size, fit, max_pixels, *decoder_versions()]


def read_manifest(storage: Storage) -> Manifest | None:
    """Return the manifest of a conversion; None where there is none.

    Raises:
        UserError: where it cannot be read, or is damaged, of a later version, or of an interrupted conversion.
    """
    try:
        content = storage.read(MANIFEST)
    except FileNotFoundError:
        return None
    except Exception as error:  # of as many types as fsspec has file systems
        raise UserError(f"data.root: expected a data set that can be read; {first_line(error)}.") from error
    try:
        values = json.loads(content)
        if values.pop("schema") != SCHEMA:
            raise UserError(f"data.root: expected {MANIFEST} of schema {SCHEMA}; got another. Update Copycat.")
        manifest = Manifest(**values)
        if any("/" in name or "\\" in name for name in dict(manifest.shards)):
            raise ValueError("a shard in another folder")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"data.root: {MANIFEST} is damaged. Type copycat data convert again.") from error
    if not manifest.shards:
        raise UserError("data.root: expected a whole conversion; it was interrupted. Type copycat data convert again.")
    return manifest


def read_index(storage: Storage, shard: str, digest: str) -> ShardIndex:
    """Return the index of a shard.

    Raises:
        UserError: where it is missing or damaged.
    """
    name = index_name(shard)
    with suppress(OSError, ValueError):
        content = storage.read(name)
        if content_digest(content) == digest:
            return ShardIndex.parse(content)
    raise UserError(f"data.root: {name} is missing or damaged. Type copycat data convert again.")


def is_whole(storage: Storage, index: ShardIndex, known: DigestCache) -> bool:
    """Return whether a shard has the bytes that were written; a file on disk is hashed once until it changes.

    A remote one is not: its size counts, and each image is compared with its digest as it is read.
    """
    try:
        stamp = storage.stamp(index.file)
        if stamp[0] != index.size:
            return False
        if not isinstance(storage, LocalStorage):
            return True
        if (digest := known.find(index.file, stamp)) is None:
            digest = content_digest(storage.read(index.file))
            known.add(index.file, stamp, digest)
    except OSError:
        return False
    return digest == index.digest
