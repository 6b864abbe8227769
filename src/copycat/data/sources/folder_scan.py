"""List the image files of a folder by part and class."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.data.columns import TextColumn
from copycat.data.labels import spell_like
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.folder_walk import FolderWalk, LeftOut, ancestors
from copycat.data.sources.root import HINT, check_root

PART_FOLDERS: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Folder names of each official part, in any case, alone or before `set`, `data`, `images` or `split`."""
PART_OF_WORD: Mapping[str, str] = {word: part for part, words in PART_FOLDERS.items() for word in words}
"""Part that a word in lower case means, also in tables and as a split's name."""
_SUFFIX = re.compile(r"[-_ ]?(set|data|images|split)$")
_CLASS_COUNT = {1: "a sub-folder", 2: "two or more sub-folders"}


@dataclass(frozen=True)
class ListedFiles:
    """List the files of a part, relative to the root with forward slashes, and the index of each one's class."""

    files: TextColumn
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FolderScan:
    """List the image files below a root, in an order that depends on their names alone."""

    classes: Sequence[str]
    """Names of the classes as text that can be printed and stored."""
    parts: Mapping[str, "ListedFiles"]
    """Files of each part."""
    left_out: Sequence[LeftOut]
    warnings: Sequence[str]
    """One short line each."""


def scan_folder(root: Path, *, min_classes: int = 2) -> FolderScan:
    """List the images in ROOT/PART/CLASS where there is a train and a val or test folder, else in ROOT/CLASS.

    Sub-folders of a class belong to it, and links are followed. A sub-folder without images is no class. Training needs
    two classes, evaluation one.

    Raises:
        UserError: where there is no such folder, fewer classes, or a part with a class that train lacks.
    """
    check_root(root)
    try:
        return _scan(root, min_classes)
    except OSError as error:
        where = escape_name(str(error.filename or root))
        raise UserError(f"data.root: can't list {where}: {error.strerror or error}.") from error


def _scan(root: Path, min_classes: int) -> FolderScan:
    walk = FolderWalk(root)
    part_folders = _part_folders(root, walk)
    folders = {part: _class_folders(folder, walk, min_classes) for part, folder in part_folders.items()}
    train_classes = folders["train"]
    files = {
        part: {
            _class_name(name, names, train_classes): TextColumn.of(
                walk.images(part_folders[part] / name, seen=ancestors(part_folders[part] / name))
            )
            for name in names
        }
        for part, names in folders.items()
    }
    for part, by_class in files.items():
        if any(paths and name not in train_classes for name, paths in by_class.items()):
            raise UserError(
                f"data.root: expected the same classes in every part; {part_folders['train']} has "
                f"{_join(train_classes)}, but {escape_name(str(part_folders[part]))} has {_join(by_class)}."
            )
    classes = [name for name in train_classes if any(by_class.get(name) for by_class in files.values())]
    empty = [name for name in train_classes if name not in classes]
    if len(classes) < min_classes:
        inside = [f"{escape_name(name)} has {_describe_files(part_folders['train'] / name)}" for name in empty]
        raise UserError(
            f"data.root: expected images in {_CLASS_COUNT[min_classes]} of {escape_name(str(part_folders['train']))}; "
            f"{', '.join(inside[:3])}. Add some."
        )
    return FolderScan(
        classes=[escape_name(name) for name in classes],
        parts={
            part: ListedFiles(
                TextColumn.joined([by_class[name] for name in classes if name in by_class]),
                np.repeat(np.arange(len(classes)), [len(by_class.get(name, ())) for name in classes]),
            )
            for part, by_class in files.items()
        },
        left_out=walk.left_out,
        warnings=[
            *(f"no image in {escape_name(name)}: it is no class" for name in empty),
            *_warn_of_equal_sub_folders(part_folders["train"], classes),
        ],
    )


def _part_folders(root: Path, walk: FolderWalk) -> dict[str, Path]:
    """Return the folder of each part, or the root as that of train where no other part has one."""
    below = walk.sub_folders(root)
    candidates: dict[str, list[str]] = {}
    for name in below:
        word = _SUFFIX.sub("", name.lower())
        for part in (part for part, names in PART_FOLDERS.items() if word in names):
            candidates.setdefault(part, []).append(name)
    if "train" not in candidates or (len(candidates) == 1 and len(below) > 1):
        return {"train": root}
    for part, names in candidates.items():
        if len(names) > 1:
            raise UserError(f"data.root: expected one folder of {part} in {root}; got {_join(names)}. Rename one.")
    part_folders = {part: root / candidates[part][0] for part in PART_FOLDERS if part in candidates}
    walk.leave_out_files(root)
    for name in below:
        if root / name not in part_folders.values():
            walk.leave(root / name, "beside the folders of train and other parts")
    return part_folders


def _class_folders(folder: Path, walk: FolderWalk, min_classes: int) -> list[str]:
    names = walk.sub_folders(folder)
    if len(names) < min_classes:
        got = f"only {escape_name(names[0])}" if names else "no sub-folder"
        least = "one" if min_classes == 1 else "two"
        raise UserError(
            f"data.root: expected one sub-folder per class, {least} or more, in {folder}; got {got}. {HINT}."
        )
    walk.leave_out_files(folder)
    return names


def _class_name(name: str, beside: Sequence[str], train_classes: Sequence[str]) -> str:
    """Return the class of a sub-folder, as the training part spells it unless another sub-folder has that name."""
    spelled = spell_like(name, train_classes)
    return name if spelled in beside else spelled


def _warn_of_equal_sub_folders(folder: Path, classes: Sequence[str]) -> Iterator[str]:
    """Warn where the folders of classes look like those of parts, years or cameras."""
    inside = [set(FolderWalk(folder).sub_folders(folder / name)) for name in classes]
    if len(inside) > 1 and len(inside[0]) > 1 and all(names == inside[0] for names in inside):
        yield (
            f"all classes, {_join(classes, most=2)}, have the same sub-folders, {_join(sorted(inside[0]), most=2)}:"
            " are those the classes?"
        )


def _describe_files(folder: Path) -> str:
    """Describe the files of a folder without images, by their extensions."""
    files = [name for _, _, names in os.walk(folder) for name in names]
    counts = Counter(os.path.splitext(name)[1].lower() for name in files).most_common(3)
    return ", ".join(f"{count} {escape_name(ending) or 'without ending'}" for ending, count in counts) or "nothing"


def _join(names: Sequence[str] | Mapping[str, object], *, most: int = 16) -> str:
    words = [escape_name(name) for name in names]
    return ", ".join([*words[:most], "…"] if len(words) > most else words)
