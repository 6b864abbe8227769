"""A few validation images of a run, to try it on in `copycat app`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.places import expand_home
from copycat.data.decode import UnreadableImage, decode
from copycat.data.labels import label_codes, label_names, name_code
from copycat.deploy.app_pictures import input_url, photo_url
from copycat.deploy.uploads import MAX_BYTES
from copycat.inspection.callbacks.contact_sheet import encode_png
from copycat.records.image_index import ImageRecord, read_images
from copycat.records.run_loader import Opened
from copycat.training.components import build_data

MAX_EXAMPLES = 8
THUMBNAIL_SIDE = 96
"""Side of a thumbnail, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """Hold an image that can be classified by a click."""

    name: str
    label: str
    """Its true class."""
    thumbnail: str
    """A data URL."""
    content: Path | bytes
    """The file, or its content."""

    def read(self) -> bytes:
        """Return the content of an image file.

        Raises:
            UserError: where the file cannot be read any more.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return self.content.read_bytes()
        except OSError as error:
            raise UserError(f"{self.name}: expected an image; got none: {error.strerror}.") from error


def find_examples(opened: Opened, *, max_pixels: int) -> Sequence[Example]:
    """Return validation images of a run, of each class in turn; none where its data is not there any more.

    A folder's images are opened as files, those of other sources by the source.
    """
    try:
        images = [image for image in read_images(opened.folder) or [] if image.part == "val"]
        if is_option(opened.config["data"]["_target_"], "data", "folder", "csv"):
            return list(islice(_from_files(opened, images, max_pixels=max_pixels), MAX_EXAMPLES))
        return list(_from_source(opened)) if images else ()
    except Exception:  # a source of the user's own may raise anything; examples are a convenience
        return ()


def _from_files(opened: Opened, images: Sequence[ImageRecord], *, max_pixels: int) -> Iterator[Example]:
    """Yield the files below the run's folder of images that are still images."""
    node = opened.config["data"]
    root = expand_home(node.get("root") or Path(node["file"]).parent).resolve()
    fit = node.get("fit", "crop")
    classes = opened.manifest["data"]["classes"]
    for place in _class_by_class([image.label for image in images]):
        path = (root / images[place].name).resolve()
        # a run folder by somebody else must not name files elsewhere
        if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > MAX_BYTES:
            continue
        try:
            thumbnail = photo_url(decode(path, size=THUMBNAIL_SIDE, fit=fit, max_pixels=max_pixels))
        except UnreadableImage:
            continue
        name = images[place].name.rpartition("/")[2]
        yield Example(name=name, label=name_code(images[place].label, classes), thumbnail=thumbnail, content=path)


def _from_source(opened: Opened) -> Iterator[Example]:
    """Yield images as PNG files, which `decode` turns into the same pixels again."""
    data = build_data(opened.config["data"], seed=opened.config["seed"])
    part = data.parts["val"]
    for place in islice(_class_by_class(label_codes(part.labels)), MAX_EXAMPLES):
        image: Tensor = part.images[place]
        yield Example(
            name=part.names[place],
            label=label_names(part.labels[place : place + 1], data.classes)[0],
            thumbnail=input_url(image),
            content=encode_png(image.permute(1, 2, 0).numpy()),
        )


def _class_by_class(labels: Sequence[str]) -> Iterator[int]:
    """Yield indices, one of each label in turn."""
    different = sorted(set(labels), key=lambda label: (len(label), label))
    by_class = [[place for place, label in enumerate(labels) if label == one] for one in different]
    return (place for places in zip_longest(*by_class) for place in places if place is not None)
