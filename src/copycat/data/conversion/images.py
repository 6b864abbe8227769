"""Read the encoded images of loaded parts, with all that a conversion keeps of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from PIL import Image
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.decode import image_extensions
from copycat.data.encoded_cells import EncodedCells
from copycat.data.labels import SEPARATOR, label_names
from copycat.data.lazy_images import LazyImages
from copycat.data.sources.folder_scan import PART_OF_WORD
from copycat.data.split import Part, Subset


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """Hold one image as it is stored."""

    name: str
    """Path below the class, with forward slashes."""
    label: str
    class_index: int | None
    """Index of the class; None where images may have several."""
    part: str
    group: str | None
    content: bytes


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """List the images that a shard is to hold."""

    stem: str
    part: str
    images: Any
    indices: Sequence[int]
    names: Sequence[str]
    labels: Sequence[str]
    class_indices: Sequence[int] | None
    groups: Sequence[str] | None
    pixels: Sequence[str]

    @property
    def digest(self) -> str:
        """Hash all that the shard is to hold."""
        what = repr((self.part, *map(list, (self.names, self.labels, self.pixels)), self.groups and list(self.groups)))
        return blake2b(what.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def read(self) -> Iterator[ImageRow]:
        """Yield the images.

        Raises:
            UserError: where a file can no longer be read.
        """
        for place, index in enumerate(self.indices):
            yield ImageRow(
                name=self.names[place],
                label=self.labels[place],
                class_index=None if self.class_indices is None else self.class_indices[place],
                part=self.part,
                group=None if self.groups is None else self.groups[place],
                content=read_content(self.images, index),
            )


def plan_shards(name: str, part: Part, classes: Sequence[str], *, rows: int) -> list[PlannedShard]:
    """Divide a part into shards of `rows` images each.

    Raises:
        UserError: where the images of a part are not stored as files or cells.
    """
    if part.encoded is None:
        raise UserError("data convert: expected images of files, a table or shards; these are made by a program.")
    labels = text_labels(part.labels, classes)
    class_indices = None if part.is_multi_label else part.labels.tolist()
    names = [relative_name(each, name, label) for each, label in zip(part.names, labels, strict=True)]
    planned = []
    for number, start in enumerate(range(0, len(part), rows)):
        indices = range(start, min(start + rows, len(part)))
        planned.append(
            PlannedShard(
                stem=f"{name}-{number:05d}",
                part=name,
                images=part.encoded,
                indices=indices,
                names=names[indices.start : indices.stop],
                labels=labels[indices.start : indices.stop],
                class_indices=class_indices and class_indices[indices.start : indices.stop],
                groups=None if part.groups is None else list(part.groups[indices.start : indices.stop]),
                pixels=list(part.digests[indices.start : indices.stop]),
            )
        )
    return planned


def text_labels(labels: Tensor, classes: Sequence[str]) -> list[str]:
    """Return the name of each label; of several classes joined by the separator, and empty for none."""
    if labels.ndim == 1:
        return label_names(labels, classes)
    return [SEPARATOR.join(name for name, has in zip(classes, row, strict=True) if has) for row in labels.tolist()]


def relative_name(name: str, part: str, label: str) -> str:
    """Return a path without folders of part and class in front, and without steps that lead elsewhere."""
    words = [word for word in PurePosixPath(name.replace("\\", "/")).parts if word not in ("/", "..", ".")]
    if len(words) > 1 and PART_OF_WORD.get(words[0].lower()) == part:
        words = words[1:]
    if len(words) > 1 and words[0] == label:
        words = words[1:]
    return "/".join(words)


def read_content(images: Any, index: int) -> bytes:
    """Return the bytes of an image as it is stored.

    Raises:
        UserError: where it can no longer be read.
    """
    if isinstance(images, Subset):
        return read_content(images.decoder, images.indices[index])
    try:
        if isinstance(images, LazyImages):
            path, content = images.path(index), None
        else:
            assert isinstance(images, EncodedCells)
            path, content = images.read_cell(index)
        if content is None:
            with open(path, "rb") as file:
                content = file.read()
        return content
    except (OSError, ValueError) as error:
        raise UserError(f"data convert: {images.key(index)} can no longer be read: {error}.") from error


def find_ending(name: str, content: bytes) -> str:
    """Return the lower-case ending of an image's name, with its dot, or where it has none that of its format."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in image_extensions():
        return ending
    with Image.open(BytesIO(content)) as image:
        return f".{str(image.format).lower().replace('jpeg', 'jpg')}"
