"""Index the members of a tar in the format of WebDataset: a sample is all members KEY.ENDING, one after the other."""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.places import cache_folder
from copycat.data.lazy_images import Stamp
from copycat.data.sources.storage import Storage

VERSION = 1
TEXT_ENDINGS = ("cls", "txt", "text", "label")
"""Endings of members that hold one cell, by which the column is called."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """State where the images of a sample lie, and what is said of it."""

    key: str
    members: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """First byte and size of each member that may be an image, by its ending."""
    cells: Mapping[str, str] = field(default_factory=dict)


def read_tar_index(storage: Storage, address: str, name: str) -> list[Sample]:
    """Return the samples of a tar, from the cached index where the tar has not changed since.

    Raises:
        tarfile.TarError, OSError: where it is damaged; for remote ones also what fsspec raises.
    """
    stamp = storage.stamp(name)
    what = blake2b(repr((VERSION, address, name)).encode(errors="surrogateescape"), digest_size=16).hexdigest()
    path = cache_folder() / "tars" / f"{what}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        cached = json.loads(path.read_bytes())
        if tuple(cached["stamp"]) == stamp:
            return [Sample(**sample) for sample in cached["samples"]]
    samples = list(scan_tar(storage, name))
    _save(path, stamp, samples)
    return samples


def scan_tar(storage: Storage, name: str) -> Iterator[Sample]:
    """Yield the samples of a tar, in its order."""
    opened = storage.open(name)
    place: dict[str, Any] = {"name": opened} if isinstance(opened, str) else {"fileobj": opened}
    with tarfile.open(mode="r:", **place) as tar:
        sample = Sample(key="")
        for member in tar:
            if not member.isfile():
                continue
            folder, slash, file = member.name.rpartition("/")
            stem, _, ending = file.partition(".")
            key, ending = f"{folder}{slash}{stem}", ending.lower()
            if key != sample.key:
                if sample.members or sample.cells:
                    yield sample
                sample = Sample(key=key, members={}, cells={})
            found = _read_cells(tar, member, ending)
            if found is None:
                sample = Sample(
                    key=key,
                    members={**sample.members, ending: (member.offset_data, member.size)},
                    cells=sample.cells,
                )
            else:
                sample = Sample(key=key, members=sample.members, cells={**sample.cells, **found})
        if sample.members or sample.cells:
            yield sample
    if not isinstance(opened, str):
        opened.close()


def _read_cells(tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> dict[str, str] | None:
    """Return the cells of a member by column; None where it is no text."""
    if ending not in ("json", *TEXT_ENDINGS):
        return None
    file = tar.extractfile(member)
    text = "" if file is None else file.read().decode(errors="replace")
    if ending != "json":
        return {ending: text.strip()}
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    plain = values.items() if isinstance(values, dict) else ()
    return {str(name): str(value) for name, value in plain if isinstance(value, (str, int)) and value is not None}


def _save(path: Path, stamp: Stamp, samples: Sequence[Sample]) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"stamp": stamp, "samples": [asdict(sample) for sample in samples]}).encode())
