"""Store arrays in a file with a checksum, so that damage is detected."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.atomic_write import replaced_file

Arrays = Mapping[str, NDArray[Any]]


class DamagedError(Exception):
    """Report a file that does not hold what was written."""


def write_checksummed(path: Path, arrays: Arrays, *, key: str) -> None:
    """Write the file whole or not at all, even where other processes write it at the same time.

    Raises:
        OSError: where the folder cannot be made or written to.
    """
    contents: dict[str, Any] = {"seal": np.array(checksum(arrays, key=key)), **arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as temporary, temporary.open("wb") as file:  # np.savez would add an ending to a name
        np.savez(file, **contents)


def read_checksummed(path: Path, *, key: str) -> dict[str, NDArray[Any]]:
    """Return the arrays that were written under this key.

    Raises:
        FileNotFoundError: where there is no such file.
        DamagedError: where it cannot be read, or holds anything else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        written = str(arrays.pop("seal"))
    except FileNotFoundError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds for damaged bytes
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    if written != checksum(arrays, key=key):
        raise DamagedError("its contents are not what was written")
    return arrays


def checksum(arrays: Arrays, *, key: str) -> str:
    """Return the SHA-256 of the key and of all arrays with their names, types and shapes, the same on every machine."""
    whole = sha256(key.encode())
    for name, array in sorted(arrays.items()):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        whole.update(f"\n{name} {little.dtype.str} {little.shape}\n".encode())
        whole.update(little.tobytes())
    return whole.hexdigest()
