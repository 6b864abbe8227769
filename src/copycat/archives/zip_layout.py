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
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s2B5H3L5H2L"), struct.Struct("<4s4H2LH")
"""Header in front of an entry, its header in the directory behind all entries, and the end of the archive."""
VERSION, UNIX, DOS_DATE = 20, 3, 33
"""Version of the format; the system whose file modes it has; 1980-01-01, as the format encodes it."""
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
    info.create_system, info.external_attr = UNIX, MODE << 16  # as on Unix, also where it is written on Windows
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
    place, directory = 0, b""
    for entry in entries:
        if why := why_not_portable(entry.filename) or _why_not_plain(entry):
            raise ValueError(f"{entry.filename[:80]!a} {why}")
        name = entry.filename.encode()
        flags = 0 if entry.filename.isascii() else UTF_8
        facts = VERSION, flags, zipfile.ZIP_STORED, 0, DOS_DATE, entry.CRC, entry.file_size, entry.file_size, len(name)
        header = _LOCAL.pack(b"PK\3\4", *facts, 0) + name
        file.seek(place)
        if file.read(len(header)) != header:
            raise ValueError(f"{entry.filename[:80]!a} does not follow the entry before it")
        directory += _CENTRAL.pack(b"PK\1\2", VERSION, UNIX, *facts, 0, 0, 0, 0, MODE << 16, place) + name
        place += len(header) + entry.file_size
    end = _END.pack(b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), place, 0)
    file.seek(place)
    if file.read() != directory + end:
        raise ValueError("it has other bytes than those of its entries")
    names = archive.namelist()
    if names != [CONTENTS, *sorted(names[1:])] or len(set(names)) < len(names):
        raise ValueError("its entries are not in order, each once")
    if (name_twice := find_collision(names)) is not None:
        raise ValueError(f"{name_twice[:80]!a} comes twice on systems that ignore case")


def _why_not_plain(entry: zipfile.ZipInfo) -> str | None:
    """Return why an entry is no plain stored file, or None if it is."""
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.external_attr != MODE << 16 or entry.create_system != UNIX:
        return "is no plain file"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "is compressed"
    return None


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive and check its layout.

    Raises:
        ValueError: where it is none that `write_archive` wrote.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size))
    end = file.read()
    if len(end) < _END.size or not end.startswith(b"PK\5\6") or end[-2:] != b"\0\0":
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
