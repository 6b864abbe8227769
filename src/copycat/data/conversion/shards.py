"""Write a data set into shards, each whole or not at all, and resume where a conversion was killed."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import replaced_file, write_whole
from copycat.config.errors import UserError
from copycat.data.conversion.images import ImageRow, PlannedShard
from copycat.data.conversion.parquet_shard import write_parquet
from copycat.data.conversion.tar_shard import write_tar
from copycat.data.progress import show_progress
from copycat.data.sources.converted import COPIES, MANIFEST, Manifest, ShardIndex, content_digest, index_name

Write = Callable[[Path, Iterable[ImageRow]], Any]
WRITERS: Mapping[str, Write] = {"shards": write_parquet, "webdataset": write_tar}

UNFINISHED = re.compile(r"\.((train|val|test)-\d{5,}\.(parquet|tar|json)|copycat\.json)\.[0-9a-f]{6}")
"""Temporary names of files that a killed conversion leaves, see `replaced_file`."""


def write_shards(folder: Path, planned: Sequence[PlannedShard], about: Manifest) -> int:
    """Write all shards that are not there yet, then the manifest; return how many were there.

    Raises:
        UserError: where the folder has other files, or cannot be written to.
    """
    return ShardFolder(folder=folder, about=about).write(planned)


@dataclass(frozen=True, kw_only=True)
class ShardFolder:
    """Write shards into a folder."""

    folder: Path
    about: Manifest
    """What the conversion states of all shards; it has no shards yet."""

    @property
    def ending(self) -> str:
        """Return the ending of the shards' names."""
        return COPIES[self.about.form]

    def write(self, planned: Sequence[PlannedShard]) -> int:
        """Write all shards that are not there yet, then the manifest; return how many were there.

        Raises:
            UserError: where the folder has other files, or cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clean(planned)
            write_whole(self.folder / MANIFEST, self.about.dump())  # without shards: an unfinished conversion
            indices = list(show_progress(self._write_each(planned), total=len(planned), what="Converting shards"))
            shards = {index.file: content_digest(index.dump()) for index, _ in indices}
            write_whole(self.folder / MANIFEST, replace(self.about, shards=shards).dump())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"data convert: expected a folder to write to, {self.folder}; {reason}.") from error
        return sum(kept for _, kept in indices)

    def _clean(self, planned: Sequence[PlannedShard]) -> None:
        """Remove what a killed conversion left, and shards of another plan; refuse a folder with other files."""
        ending = self.ending
        wanted = {f"{shard.stem}{ending}" for shard in planned}
        for path in sorted(self.folder.iterdir()):
            shard = path.with_suffix(ending)
            is_ours = path.name == MANIFEST or (path.suffix in (ending, ".json") and _is_stem(path.stem))
            is_unfinished = UNFINISHED.fullmatch(path.name) is not None
            if is_unfinished or (is_ours and path.name != MANIFEST and shard.name not in wanted):
                path.unlink()
            elif not is_ours:
                raise UserError(
                    f"data convert: expected a new folder, or one of an unfinished conversion to {self.about.form};"
                    f" {self.folder} has {path.name}."
                )

    def _write_each(self, planned: Sequence[PlannedShard]) -> Iterator[tuple[ShardIndex, bool]]:
        for shard in planned:
            index = self._find_written(shard)
            yield (index, True) if index is not None else (self._write_shard(shard), False)

    def _find_written(self, shard: PlannedShard) -> ShardIndex | None:
        """Return the index of a shard that is there as planned, by the digest of its bytes."""
        path = self.folder / f"{shard.stem}{self.ending}"
        try:
            index = ShardIndex.parse((self.folder / index_name(path.name)).read_bytes())
            is_whole = index.plan == shard.digest and content_digest(path.read_bytes()) == index.digest
        except (OSError, ValueError):
            return None
        return index if is_whole else None

    def _write_shard(self, shard: PlannedShard) -> ShardIndex:
        path = self.folder / f"{shard.stem}{self.ending}"
        contents: list[str] = []
        with replaced_file(path) as temporary:
            places = WRITERS[self.about.form](temporary, _note_digests(shard.read(), contents))
            content = temporary.read_bytes()
        index = ShardIndex(
            file=path.name,
            part=shard.part,
            size=len(content),
            digest=content_digest(content),
            plan=shard.digest,
            names=list(shard.names),
            labels=list(shard.labels),
            groups=None if shard.groups is None else list(shard.groups),
            contents=contents,
            pixels=list(shard.pixels),
            offsets=places,
        )
        write_whole(self.folder / index_name(path.name), index.dump())
        return index


def _note_digests(rows: Iterable[ImageRow], digests: list[str]) -> Iterator[ImageRow]:
    for row in rows:
        digests.append(content_digest(row.content))
        yield row


def _is_stem(name: str) -> bool:
    part, _, number = name.rpartition("-")
    return part in ("train", "val", "test") and len(number) >= 5 and number.isdigit()
