"""Write a shard as a tar in the format of WebDataset."""

import json
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from copycat.data.conversion.images import ImageRow, find_ending


def write_tar(path: Path, rows: Iterable[ImageRow]) -> list[tuple[int, int]]:
    """Write KEY.ENDING, KEY.cls and KEY.json of each image; return the first byte and the size of each image.

    KEY.cls is the index of the class; KEY.json has the names of the image and of its class. Owners and times are left
    out, so that equal images make equal bytes.
    """
    places = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in enumerate(rows):
            key = f"{number:08d}"
            about = {"label": row.label, "split": row.part, "name": row.name}
            about |= {} if row.group is None else {"group": row.group}
            places.append(_add(tar, f"{key}{find_ending(row.name, row.content)}", row.content))
            if row.class_index is not None:
                _add(tar, f"{key}.cls", str(row.class_index).encode())
            _add(tar, f"{key}.json", json.dumps(about, ensure_ascii=False).encode())
    return places


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> tuple[int, int]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    header = len(member.tobuf(tar.format, tar.encoding or "utf-8", tar.errors or "strict"))
    start = tar.offset + header
    tar.addfile(member, BytesIO(content))
    return start, len(content)
