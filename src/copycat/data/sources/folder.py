"""Load a user's own images from a folder with one sub-folder per class."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import torch

from copycat.config.errors import UserError
from copycat.config.places import expand_home
from copycat.data.columns import TextColumn
from copycat.data.group_splitting import join_groups
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.file_names import escape_name
from copycat.data.sources.folder_scan import scan_folder
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER
from copycat.data.sources.groups import find_groups
from copycat.data.sources.image_source import ImageSource, LabeledImages
from copycat.data.split import Part
from copycat.data.splitting import select_images


class Folder(ImageSource):
    """Load images from ROOT/CLASS/…, or from ROOT/train/CLASS/…, ROOT/val/CLASS/… and ROOT/test/CLASS/….

    The classes are the sub-folders' names in alphabetical order. Without folders of parts, all images are `train`.

    Args:
        root: the folder.
        groups: a regular expression that finds each image's group in its name, see `find_groups`; None: no groups.
        multi_label: whether an image that lies in the folders of several classes, byte for byte the same, has them all.
        image_size, fit, on_unreadable, memory_mb, max_megapixels, cache, cache_gb: see `ImageSource`.

    Raises:
        UserError: where the root is not UTF-8, or `memory_mb` no whole number.
    """

    def __init__(
        self,
        *,
        root: str,
        groups: str | None = None,
        multi_label: bool = False,
        image_size: int | None = None,
        fit: str = "crop",
        on_unreadable: str = "stop",
        memory_mb: int = 2048,
        max_megapixels: float | None = None,
        cache: bool = False,
        cache_gb: float = 20,
    ) -> None:
        """Check the settings; nothing is read."""
        super().__init__(
            image_size=image_size,
            fit=fit,
            on_unreadable=on_unreadable,
            memory_mb=memory_mb,
            max_megapixels=max_megapixels,
            cache=cache,
            cache_gb=cache_gb,
        )
        if not root.isascii() and escape_name(root) != root:  # config.yaml and run.json are UTF-8
            raise UserError(f"data.root: expected a path in UTF-8; got {escape_name(root)}. Type a link to it: ln -s.")
        self.root, self.groups, self.multi_label = expand_home(root), groups, multi_label
        self.synthetic = (self.root / SYNTHETIC_MARKER).is_file()

    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where ROOT has them `val` and `test`; fill `classes`.

        Raises:
            UserError: where the folder is not as described above, or `on_unreadable` is `stop` and a file unreadable.
        """
        scan = scan_folder(self.root, min_classes=self.min_classes)
        self.classes, self.left_out, self.warnings = scan.classes, scan.left_out, scan.warnings
        names = {part: _printable_names(listed.files) for part, listed in scan.parts.items()}
        groups = None if self.groups is None else find_groups(self.groups, names)
        listed = {
            part: LabeledImages(
                images=LazyImages(
                    root=self.root.absolute(),
                    files=each.files,
                    size=self.size,
                    fit=self.fit,
                    max_pixels=self.max_pixels,
                ),
                labels=each.labels,
                names=names[part],
                groups=None if groups is None else groups[part],
            )
            for part, each in scan.parts.items()
        }
        parts = self.read_parts(listed, root=self.root, key="data.root", where=f"files in {self.root}")
        if not self.multi_label:
            return parts
        if groups is not None:  # before equal images become one, which has one group
            each = [name for part in parts.values() for name in part.groups or ()]
            joined = iter(join_groups(each, [digest for part in parts.values() for digest in part.digests]))
            parts = {name: replace(part, groups=[*islice(joined, len(part))]) for name, part in parts.items()}
        return {name: join_labels(part, len(self.classes)) for name, part in parts.items()}


def _printable_names(files: TextColumn) -> TextColumn:
    """Return the files as text that can be printed and stored: the same column where they are UTF-8."""
    return files if files.is_utf8 else TextColumn.of(map(escape_name, files))


def join_labels(part: Part, classes: int) -> Part:
    """Return a part of one label an image as one of several: equal images become one that has all their classes."""
    first: dict[str, int] = {}
    labels = torch.zeros(len(part), classes, dtype=torch.int64)
    for index, digest in enumerate(part.digests):
        labels[first.setdefault(digest, index), part.labels[index]] = 1
    return select_images(replace(part, labels=labels), list(first.values()))
