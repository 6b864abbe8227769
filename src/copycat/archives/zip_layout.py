"""Write zip files with the same bytes for the same content, and read no others.

Entries are stored, not compressed, in one fixed order, with one fixed date. An archive is read only if it has exactly
the bytes that this module writes for its entries: so it cannot expand, overlap, link, or hide anything.
"""

import stat
import struct
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import IO

from copycat.archives.entry_names import CONTENTS, find_collision, why_not_portable
from copycat.config.atomic_write import replaced_file
from copycat.config.errors import UserError

DATE = (1980, 1, 1, 0, 0, 0)
MODE = stat.S_IFREG | 0o644
MAX_ENTRIES = 50_000
MAX_BYTES = zipfile.ZIP64_LIMIT
"""2 GiB: the limit of an archive without the zip64 extension."""
CHUNK = 2**20
_LOCAL = struct.Struct("<4s5H3L2H")
"""Header in front of an entry: mark, version, flags, method, time, date, checksum, two sizes, two lengths."""
_END_BYTES = 22
UTF_8 = 0x800
"""Flag of names that are not ASCII."""


def write_archive(path: Path, contents: bytes, files: Mapping[str, Path]) -> None:
    """Write an archive of `contents`, as CONTENTS, and of files by their names, whole or not at all.

    Raises:
        UserError: where it would be larger than MAX_BYTES.
        OSError: where a file cannot be read or the archive cannot be written.
    """
    try:
        with replaced_file(path) as temporary, zipfile.ZipFile(temporary, "x", allowZip64=False) as archive:
            archive.writestr(_info(CONTENTS), contents)
            for name in sorted(files):
                with files[name].open("rb") as source, archive.open(_info(name), "w") as entry:
                    while chunk := source.read(CHUNK):
                        entry.write(chunk)
    except (zipfile.LargeZipFile, RuntimeError) as error:  # RuntimeError: a single file is too large
        raise UserError(f"{path}: expected at most 2 GB in a package; got more. Leave out --data, or clean.") from error


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.create_system, info.external_attr = 3, MODE << 16  # as on Unix, also where it is written on Windows
    return info


def is_archive(path: Path) -> bool:
    """Return whether a file begins as those of `write_archive` do."""
    try:
        with path.open("rb") as file:
            start = file.read(_LOCAL.size + len(CONTENTS))
    except OSError:
        return False
    return start.startswith(b"PK\3\4") and start.endswith(CONTENTS.encode())


def check_layout(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Check that an archive has the layout that `write_archive` gives it, before anything is read from it.

    Raises:
        ValueError: with the name of an entry and what is wrong with it.
    """
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"it has {len(entries)} entries, more than {MAX_ENTRIES}")
    place = 0
    for entry in entries:
        if why := why_not_portable(entry.filename) or _why_not_plain(entry):
            raise ValueError(f"{entry.filename[:80]!a} {why}")
        name = entry.filename.encode()
        header = _LOCAL.pack(
            *(b"PK\3\4", entry.extract_version, entry.flag_bits, zipfile.ZIP_STORED, 0, 33, entry.CRC),
            *(entry.file_size, entry.file_size, len(name), 0),
        )
        file.seek(place)
        if entry.header_offset != place or file.read(len(header) + len(name)) != header + name:
            raise ValueError(f"{entry.filename[:80]!a} does not follow the entry before it")
        place += len(header) + len(name) + entry.file_size
    size = sum(46 + len(entry.filename.encode()) for entry in entries)
    if archive.start_dir != place or file.seek(0, 2) != place + size + _END_BYTES:
        raise ValueError("it has more bytes than its entries")
    names = archive.namelist()
    if names != [CONTENTS, *sorted(names[1:])] or len(set(names)) < len(names):
        raise ValueError("its entries are not in order, each once")
    if (name_twice := find_collision(names)) is not None:
        raise ValueError(f"{name_twice[:80]!a} comes twice on systems that ignore case")


def _why_not_plain(entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is no plain stored file, or None if it is."""
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.external_attr != MODE << 16 or entry.create_system != 3:
        return "is no plain file"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "is compressed"
    if entry.flag_bits not in (0, UTF_8) or entry.extra or entry.comment or entry.date_time != DATE:
        return "has features that packages do not have"
    return None


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive and check its layout.

    Raises:
        ValueError: where it is none that `write_archive` wrote.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES))
    end = file.read()
    if len(end) < _END_BYTES or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
        raise ValueError("it is no zip file, cut short, or followed by something else")
    if int.from_bytes(end[10:12], "little") > MAX_ENTRIES or b"\xff\xff\xff\xff" in (end[12:16], end[16:20]):
        raise ValueError(f"it has more than {MAX_ENTRIES} entries, or more than 2 GB")
    try:
        archive = zipfile.ZipFile(file)
        check_layout(archive, file)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OverflowError, struct.error) as error:
        raise ValueError(f"it is damaged: {error}") from error
    return archive


def read_entry(archive: zipfile.ZipFile, name: str, to: IO[bytes]) -> str:
    """Copy an entry to a file, and return its digest; raise a ValueError where its checksum is wrong."""
    digest = blake2b(digest_size=16)
    try:
        with archive.open(name) as entry:
            while chunk := entry.read(CHUNK):
                digest.update(chunk)
                to.write(chunk)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{name[:80]!a} is damaged") from error
    return digest.hexdigest()
