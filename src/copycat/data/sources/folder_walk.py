"""Walk through folders in the order of names, to find images and to note other files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from copycat.data.columns import TextColumn
from copycat.data.decode import FORMAT_HINTS, image_extensions, is_image
from copycat.data.sources.file_names import escape_name

SYSTEM_FOLDERS = frozenset(
    {"@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders in which operating systems keep thumbnails and deleted files, in lower case."""
SYNTHETIC_MARKER = "DRAWN.txt"
"""File that marks a folder's images as drawn, so that results on them are marked too."""


@dataclass(frozen=True)
class LeftOut:
    """Describe a file, or a folder with all its files, that is not an image of the data set."""

    name: str
    """Relative to the root."""
    reason: str
    files: int = 1

    def __str__(self) -> str:
        """Return the name, the reason and the number of files."""
        return f"{self.name}: {self.reason}" + (f", {self.files} files" if self.files > 1 else "")


def find_images(folder: Path) -> list[Path]:
    """Return all images in a folder and its sub-folders, by name.

    Raises:
        OSError: where a folder cannot be listed.
    """
    return [folder / name for name in FolderWalk(folder).images(folder, seen=set())]


@dataclass
class FolderWalk:
    """Walk through folders in the order of names, and note what is left out."""

    root: Path
    endings: frozenset[str] = field(default_factory=image_extensions)
    left_out: list[LeftOut] = field(default_factory=list)

    def sub_folders(self, folder: Path) -> list[str]:
        """Return the names of a folder's sub-folders."""
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not _ignored_reason(entry))

    def leave_out_files(self, folder: Path) -> None:
        """Leave out the files that lie beside a folder's sub-folders, and hidden sub-folders."""
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if reason := _ignored_reason(entry):
                self.leave(folder / entry.name, reason)
            elif not entry.is_dir() and entry.name != SYNTHETIC_MARKER:
                self.leave(folder / entry.name, "in no class's folder")

    def images(self, folder: Path, *, seen: set[tuple[int, int]]) -> Iterator[str]:
        """Yield the images below a folder, relative to the root with forward slashes.

        Each real folder is visited once, so that circular links end.
        """
        if (identity := _identity(folder)) in seen:
            return
        seen.add(identity)
        inside = folder.relative_to(self.root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        reasons: dict[str, str | None] = {}  # of entries that are no image; None of a folder
        for name in TextColumn.of(self._sort_out(folder, reasons)).sorted():  # strings would take much more memory
            if name not in reasons:
                yield prefix + name
            elif (reason := reasons[name]) is not None:
                self.leave(folder / name, reason)
            else:
                yield from self.images(folder / name, seen=seen)

    def _sort_out(self, folder: Path, reasons: dict[str, str | None]) -> Iterator[str]:
        """Yield the names in a folder, and note the reason of each that is no image."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if reason := _ignored_reason(entry):
                    reasons[entry.name] = reason
                elif entry.is_dir():
                    reasons[entry.name] = None
                elif reason := self._exclusion_reason(entry):
                    reasons[entry.name] = reason
                yield entry.name

    def leave(self, path: Path, reason: str) -> None:
        """Note a file, or a folder with its files, as left out."""
        files = sum(len(files) for _, _, files in os.walk(path)) if path.is_dir() else 1
        if files:
            self.left_out.append(LeftOut(escape_name(path.relative_to(self.root).as_posix()), reason, files))

    def _exclusion_reason(self, entry: os.DirEntry[str]) -> str | None:
        """Return why a file is no image; None where it is one."""
        if not entry.is_file() and os.path.exists(entry.path):  # a broken link counts as an unreadable image
            return "no plain file"
        ending = os.path.splitext(entry.name)[1].lower()
        if ending in self.endings or (not ending and is_image(Path(entry.path))):
            return None
        return FORMAT_HINTS.get(ending, "no image")


def _ignored_reason(entry: os.DirEntry[str]) -> str | None:
    if entry.name.startswith("."):
        return "hidden"
    return "of an operating system" if entry.name.lower() in SYSTEM_FOLDERS else None


def ancestors(folder: Path) -> set[tuple[int, int]]:
    """Return the folders above one: a link to them would lead to the other classes."""
    return {_identity(parent) for parent in (*folder.absolute().parents, *folder.resolve().parents)}


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino
