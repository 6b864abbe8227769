"""Load a user's own images from a folder with one sub-folder per class."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from copycat.config.combinations import IMAGE_SIZE
from copycat.config.errors import UserError
from copycat.data.decode import UnreadableImage, decode
from copycat.data.lazy_images import DigestCache, LazyImages
from copycat.data.progress import parallel_map
from copycat.data.sources.folder_scan import scan_folder
from copycat.data.sources.folder_walk import SYNTHETIC_MARKER, LeftOut, escape_name
from copycat.data.split import Decoder, Part, digest


class Folder:
    """Load images from ROOT/CLASS/…, or from ROOT/train/CLASS/…, ROOT/val/CLASS/… and ROOT/test/CLASS/….

    The classes are the sub-folders' names in alphabetical order. Without folders of parts, all images are `train`.

    Args:
        root: the folder.
        image_size: side of the square that every image becomes, in pixels; None: 64.
        fit: how an image becomes a square: `crop`, `squash` or `pad`, see `decode_pixels`.
        on_unreadable: `stop` at unreadable files, or `skip` them and list them in `Part.unreadable`.
        memory_mb: a data set whose decoded images take more is read once for its digests, then decoded as needed.
        max_megapixels: larger images count as unreadable; None: 89.

    Raises:
        UserError: where the root is not UTF-8, or `memory_mb` no whole number.
    """

    def __init__(
        self,
        *,
        root: str,
        image_size: int | None = None,
        fit: str = "crop",
        on_unreadable: str = "stop",
        memory_mb: int = 2048,
        max_megapixels: float | None = None,
    ) -> None:
        """Check the settings; nothing is read."""
        if not isinstance(memory_mb, int):
            raise UserError(f"data.memory_mb: expected a whole number >= 0; got {memory_mb!r}.")
        if not root.isascii() and escape_name(root) != root:  # config.yaml and run.json are UTF-8
            raise UserError(f"data.root: expected a path in UTF-8; got {escape_name(root)}. Type a link to it: ln -s.")
        self.root = Path(root).expanduser()
        self.size = IMAGE_SIZE if image_size is None else image_size
        self.fit, self.on_unreadable = fit, on_unreadable
        self.memory = memory_mb * 2**20
        self.max_pixels = None if max_megapixels is None else round(max_megapixels * 1e6)
        self.classes: Sequence[str] = ()
        self.min_classes = 2  # least number of classes: one suffices to evaluate a run
        self.left_out: Sequence[LeftOut] = ()
        self.warnings: Sequence[str] = ()
        self.synthetic = (self.root / SYNTHETIC_MARKER).is_file()
        self._has_too_large = False

    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where ROOT has them `val` and `test`; fill `classes`.

        Raises:
            UserError: where the folder is not as described above, or `on_unreadable` is `stop` and a file unreadable.
        """
        scan = scan_folder(self.root, min_classes=self.min_classes)
        self.classes, self.left_out, self.warnings = scan.classes, scan.left_out, scan.warnings
        count = sum(len(files) for files in scan.parts.values())
        in_memory = count * 3 * self.size**2 <= self.memory
        known = (
            None if in_memory else DigestCache(root=self.root, size=self.size, fit=self.fit, max_pixels=self.max_pixels)
        )
        try:
            parts = {name: self._part(name, files, known) for name, files in scan.parts.items()}
        finally:
            if known is not None:  # after Ctrl-C too: the next run need not read these files again
                known.save()
        unreadable = [line for part in parts.values() for line in part.unreadable]
        if unreadable and self.on_unreadable == "stop":
            allow = " Larger images: data.max_megapixels=NUMBER." if self._has_too_large else ""
            raise UserError(
                f"data.root: {len(unreadable)} of {count} files in {self.root} can't be read, first {unreadable[0]}. "
                f"Mend or remove them, or leave them out by data.on_unreadable=skip.{allow}"
            )
        for name, part in parts.items():
            if lost := {label for _, label in scan.parts[name]} - set(part.labels.tolist()):
                raise UserError(
                    f"data.root: no image of {', '.join(self.classes[label] for label in sorted(lost))} in {name} can "
                    f"be read, first {part.unreadable[0]}."
                )
        return parts

    def _part(self, name: str, listed: Sequence[tuple[str, int]], known: DigestCache | None) -> Part:
        files = [file for file, _ in listed]
        store = torch.empty(len(files), 3, self.size, self.size, dtype=torch.uint8) if known is None else None

        def read(index: int) -> str | UnreadableImage:
            """Decode image `index`, store it where images are held in memory, and return its digest."""
            file = files[index]
            stamp = known.stamp(file) if known is not None else None  # before decoding: the file may change meanwhile
            if known is not None and (known_digest := known.find(file, stamp)):
                return known_digest
            try:
                image = decode(self.root / file, size=self.size, fit=self.fit, max_pixels=self.max_pixels)
            except UnreadableImage as error:
                return error
            pixels = digest(image)
            if store is not None:
                store[index] = image
            if known is not None and stamp is not None:
                known.entries[file] = (*stamp, pixels)
            return pixels

        outcomes = list(parallel_map(read, len(files), what=f"Reading {name}"))
        self._has_too_large |= any(isinstance(one, UnreadableImage) and one.is_too_large for one in outcomes)
        good = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, str)]
        kept = [files[index] for index in good]
        digests = [outcome for outcome in outcomes if isinstance(outcome, str)]
        images: Tensor | Decoder
        if store is not None:
            images = store if len(good) == len(files) else store[good]
        else:
            images = LazyImages(
                root=self.root.absolute(), files=kept, size=self.size, fit=self.fit, max_pixels=self.max_pixels
            )
        return Part(
            images=images,
            labels=torch.tensor([listed[index][1] for index in good], dtype=torch.int64),
            names=[escape_name(file) for file in kept],
            digests=digests,
            unreadable=[
                f"{escape_name(file)}: {outcome.reason}"
                for file, outcome in zip(files, outcomes, strict=True)
                if isinstance(outcome, UnreadableImage)
            ],
        )
