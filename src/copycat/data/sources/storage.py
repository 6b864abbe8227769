"""Read files of a folder on disk, or at an address that fsspec opens, such as `http://…` and `s3://…`."""

import os
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.suggestions import first_line
from copycat.data.lazy_images import Stamp
from copycat.data.sources.file_names import is_address

S3_ENDPOINT = "AWS_ENDPOINT_URL"
"""Environment variable of the address of a server that speaks S3's protocol."""

FILE_ENDINGS = (".parquet", ".tar")
"""Endings of addresses of one file; others are of folders."""


class Storage(Protocol):
    """Read files by name; each process opens its own, and the storage can be pickled."""

    @property
    def start_method(self) -> str | None:
        """Return how processes start that read; None: as usual on this system."""

    def list_files(self, ending: str) -> list[str]:
        """Return the names of all files with this ending, sorted; sub-folders included."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Return `size` bytes of a file; fewer where it ends before."""

    def open(self, name: str) -> Any:
        """Return a path or an open file that pyarrow reads."""

    def stamp(self, name: str) -> Stamp:
        """Return numbers that change when the file does, the first of them its size in bytes."""


def open_storage(root: str) -> tuple[Storage, list[str] | None]:
    """Open a folder or an address; where the root is one file, return its name too.

    Raises:
        UserError: where there is nothing at it.
    """
    if is_address(root):
        require_package("fsspec", wanted_by=f"data.root={root}")
        folder, _, name = root.rstrip("/").rpartition("/")
        is_file = name.lower().endswith(FILE_ENDINGS)
        return (RemoteStorage(folder), [name]) if is_file else (RemoteStorage(f"{folder}/{name}"), None)
    path = expand_home(root).absolute()
    if path.is_file():
        return LocalStorage(path.parent), [path.name]
    if not path.is_dir():
        raise UserError(f"data.root: expected a folder, a file or an address; {path} is not there.")
    return LocalStorage(path), None


@dataclass(frozen=True)
class LocalStorage:
    """Read files below a folder. Nothing stays open between two calls, so that processes may fork."""

    folder: Path

    @property
    def start_method(self) -> None:
        """Return None: any process reads files."""

    def list_files(self, ending: str) -> list[str]:
        """Return the names of all files with this ending that are not hidden."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob(f"*{ending}") if path.is_file())
        return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.folder / name).read_bytes()

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Return a range of a file."""
        with (self.folder / name).open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(size)

    def open(self, name: str) -> str:
        """Return the path."""
        return str(self.folder / name)

    def stamp(self, name: str) -> Stamp:
        """Return size and modification time in ns."""
        about = (self.folder / name).stat()
        return about.st_size, about.st_mtime_ns


@dataclass(frozen=True)
class RemoteStorage:
    """Read files below an address, by fsspec; `s3://` by the client of pyarrow, which needs no further package."""

    address: str

    @property
    def start_method(self) -> str | None:
        """Return `spawn` for S3, whose client has threads that don't survive a fork; fsspec starts its own anew."""
        return "spawn" if self.address.startswith("s3://") else None

    def list_files(self, ending: str) -> list[str]:
        """Return the names of all files with this ending."""
        files, folder = self._open()
        try:
            found = files.find(folder)
        except Exception as error:  # of as many types as fsspec has file systems
            raise UserError(
                f"data.root: expected files that can be listed at {self.address}; {first_line(error)}."
            ) from error
        names = (path.removeprefix(folder).lstrip("/") for path in found if path.endswith(ending))
        return sorted(names)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        files, folder = self._open()
        return bytes(files.cat_file(f"{folder}/{name}"))

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Return a range of a file."""
        files, folder = self._open()
        return bytes(files.cat_file(f"{folder}/{name}", start=start, end=start + size))

    def open(self, name: str) -> Any:
        """Return an open file."""
        files, folder = self._open()
        return files.open(f"{folder}/{name}", "rb")

    def stamp(self, name: str) -> Stamp:
        """Return the size, and a number of what the server says of the file's version."""
        files, folder = self._open()
        about = files.info(f"{folder}/{name}")
        version = repr([str(about.get(key)) for key in ("ETag", "mtime", "LastModified", "created")])
        return int(about["size"] or 0), int.from_bytes(blake2b(version.encode(), digest_size=7).digest())

    def _open(self) -> tuple[Any, str]:
        return _open_file_system(self.address, os.environ.get(S3_ENDPOINT), os.getpid())


@cache
def _open_file_system(address: str, endpoint: str | None, _process: int) -> tuple[Any, str]:
    """Open the file system of an address once a process: clients with threads and connections don't survive a fork."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.arrow import ArrowFSWrapper

    scheme, _, path = address.partition("://")
    if scheme != "s3":
        try:
            files, folder = url_to_fs(address)
        except (ValueError, ImportError) as error:
            raise UserError(f"data.root: can't open {address}: {first_line(error)}.") from error
        return files, folder.rstrip("/")
    from pyarrow.fs import S3FileSystem

    return ArrowFSWrapper(S3FileSystem(endpoint_override=endpoint)), path
