"""Which image files a folder holds, by part and class."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from copycat.config.errors import UserError
from copycat.data.decode import image_extensions
from copycat.data.root import HOW, check_root

PARTS: Mapping[str, Sequence[str]] = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folder of an official part may be called, whatever its case."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The image files below a root, in an order that depends on their names alone."""

    classes: Sequence[str]
    parts: Mapping[str, Sequence[tuple[str, int]]]
    """For each part its files, relative to the root with forward slashes, and their labels."""


def list_images(root: Path) -> Listing:
    """The images below `root`: in ROOT/PART/CLASS where it has a train and a val or test folder, else in ROOT/CLASS.

    Sub-folders of a class belong to it, links are followed, hidden names and files that are no images are passed over.

    Raises:
        UserError: where there is no such folder, fewer than two classes, a class without images, or parts that differ
            in their classes.
    """
    check_root(root)
    try:
        below = _sub_folders(root)
        homes = {part: root / name for part, names in PARTS.items() if (name := _first(names, among=below))}
        if "train" not in homes or len(homes) == 1:
            homes = {"train": root}
        classes = {part: _classes(home) for part, home in homes.items()}
        for part, names in classes.items():
            if names != classes["train"]:
                raise UserError(
                    f"data.root: expected the same classes in every part; {homes['train']} has "
                    f"{', '.join(classes['train'])}, but {homes[part]} has {', '.join(names)}."
                )
        endings = image_extensions()
        return Listing(
            classes=classes["train"],
            parts={
                part: [
                    (file.relative_to(root).as_posix(), label)
                    for label, name in enumerate(classes[part])
                    for file in _images(home / name, endings)
                ]
                for part, home in homes.items()
            },
        )
    except OSError as error:
        raise UserError(f"data.root: can't list {error.filename or root}: {error.strerror or error}.") from error


def images_below(folder: Path) -> list[Path]:
    """All images in a folder and its sub-folders, by name; hidden names and files that are no images are passed over.

    Raises:
        OSError: where a folder cannot be listed.
    """
    endings = image_extensions()
    return [file for file in _walk(folder, seen=set()) if file.suffix.lower() in endings]


def _first(names: Sequence[str], *, among: Sequence[str]) -> str | None:
    return next((found for name in names for found in among if found.lower() == name), None)


def _sub_folders(folder: Path) -> list[str]:
    # what is hidden, and what macOS adds to an archive, is no class
    entries = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))]
    return sorted(entry.name for entry in entries)


def _classes(home: Path) -> list[str]:
    names = _sub_folders(home)
    if len(names) < 2:
        got = f"only {names[0]}" if names else "no sub-folder"
        raise UserError(f"data.root: expected a sub-folder a class, two or more, in {home}; got {got}. {HOW}.")
    return names


def _images(folder: Path, endings: frozenset[str]) -> list[Path]:
    above = {
        _identity(parent) for parent in (*folder.absolute().parents, *folder.resolve().parents)
    }  # a link up leads to the other classes
    files = list(_walk(folder, seen=above))
    images = [file for file in files if file.suffix.lower() in endings]
    if not images:
        others = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in _endings(files))
        raise UserError(
            f"data.root: expected images in {folder}; got {others or 'nothing'}. Add some, or remove the folder."
        )
    return images


def _endings(files: Sequence[Path]) -> list[tuple[str, int]]:
    return Counter(file.suffix.lower() for file in files).most_common(3)


def _walk(folder: Path, *, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Files below `folder` by name; each real folder once, so that links that lead back end."""
    if (identity := _identity(folder)) in seen:
        return
    seen.add(identity)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, seen=seen)
        elif entry.is_file() or not os.path.exists(entry.path):  # a link to nothing is a broken file, a pipe is none
            yield folder / entry.name


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino
