"""Store arrays in a file with a checksum, so that damage is detected."""

import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.atomic_write import replaced_file

log = logging.getLogger(__name__)
Arrays = Mapping[str, NDArray[Any]]


def write_checksummed(path: Path, arrays: Arrays, *, key: str) -> None:
    """Write the file whole or not at all, even where other processes write it at the same time.

    Raises:
        OSError: where the folder cannot be made or written to.
    """
    contents: dict[str, Any] = {"seal": np.array(checksum(arrays, key=key)), **arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as temporary, temporary.open("wb") as file:  # np.savez would add an ending to a name
        np.savez(file, **contents)


def read_checksummed(path: Path, *, key: str) -> dict[str, NDArray[Any]] | None:
    """Return the arrays that were written under this key; None where there is no such file, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        written = str(arrays.pop("seal"))
    except FileNotFoundError:
        return None
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds for damaged bytes
        damage = f"{type(error).__name__}: {error}"
    else:
        if written == checksum(arrays, key=key):
            return arrays
        damage = "its contents are not what was written"
    log.warning("%s is damaged (%s); drawing it again.", path, damage)
    return None


def checksum(arrays: Arrays, *, key: str) -> str:
    """Return the SHA-256 of the key and of all arrays with their names, types and shapes, the same on every machine."""
    whole = sha256(key.encode())
    for name, array in sorted(arrays.items()):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        whole.update(f"\n{name} {little.dtype.str} {little.shape}\n".encode())
        whole.update(little.tobytes())
    return whole.hexdigest()
