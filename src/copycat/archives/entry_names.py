"""Check the names of a package's entries: paths that mean the same on every system, and stay inside a folder."""

import unicodedata
from collections.abc import Iterable

from copycat.config.printable import UNPRINTABLE

CONTENTS = "package.json"
"""The first entry: kind, digests of all other entries, and where the data of each run are."""
FOLDERS = ("run", "sweep", "environment", "data", "weights")
MAX_NAME_BYTES, MAX_PART_BYTES, MAX_DEPTH = 1024, 255, 24
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10))}
"""Names of devices on Windows."""


def why_not_portable(name: str) -> str | None:
    """Return why a name cannot be an entry of a package, or None if it can."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is no text"
    if sum(sizes) + len(sizes) > MAX_NAME_BYTES or max(sizes) > MAX_PART_BYTES or len(parts) > MAX_DEPTH:
        return "is too long"
    if UNPRINTABLE.search(name) or set(name) & set('\\:*?"<>|'):
        return "has characters that not every system allows in names"
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of the folder"
    if any(part.startswith(".") for part in parts):
        return "is hidden"
    if any(part.endswith((" ", ".")) or part.partition(".")[0].lower() in _RESERVED for part in parts):
        return "means something else on Windows"
    if name != CONTENTS and (parts[0] not in FOLDERS or len(parts) == 1):
        return "is in none of the folders of a package"
    return None


def find_collision(names: Iterable[str]) -> str | None:
    """Return a name that another one equals without case, or that is both a file and a folder; None without one."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        plain = unicodedata.normalize("NFC", name).casefold()
        if plain in files:
            return name
        files.add(plain)
        folders.update(plain[:place] for place, character in enumerate(plain) if character == "/")
    return next(iter(sorted(files & folders)), None)
