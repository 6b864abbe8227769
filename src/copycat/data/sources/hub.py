"""Load a data set of the Hugging Face Hub, or local Parquet files and folders, by `datasets`."""

from collections.abc import Mapping, Sequence
from typing import Any

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.places import expand_home
from copycat.config.suggestions import one_of
from copycat.data.sources.csv_columns import check_groups_key, find_column
from copycat.data.sources.folder_scan import PART_OF_WORD
from copycat.data.sources.folder_walk import LeftOut
from copycat.data.sources.groups import find_groups
from copycat.data.sources.hub_cache import Splits
from copycat.data.sources.hub_loader import load_splits
from copycat.data.sources.hub_rows import read_groups, read_images, read_labels
from copycat.data.sources.image_source import ImageSource, LabeledImages
from copycat.data.sources.label_order import sort_classes
from copycat.data.split import Part

USUAL_LABELS = ("label", "labels", "class", "category", "target")
USUAL_IMAGES = ("image", "img")
"""Names of the columns where their types leave it open, in lower case."""


class Hub(ImageSource):
    """Load the rows of a data set with a column of images and a column of labels.

    Images are decoded as files are, by the same code, to the same pixels.

    Args:
        name: of a data set of the Hub, as cifar10 or OWNER/NAME, or a path of a folder or a Parquet file.
        subset: configuration of the data set, where it has several.
        revision: branch, tag or commit; None: the latest commit, which is recorded.
        image_column, label_column: columns of images and labels; None: those whose types say so.
        groups: a column, or a regular expression that finds the group in the file's name; None: no groups.
        download: whether what the cache of datasets lacks may be downloaded.
        image_size, fit, on_unreadable, memory_mb, max_megapixels, cache, cache_gb: see `ImageSource`.

    Raises:
        UserError: where the package datasets is not installed.
    """

    def __init__(
        self,
        *,
        name: str,
        subset: str | None = None,
        revision: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        groups: str | None = None,
        download: bool = True,
        image_size: int | None = None,
        fit: str = "crop",
        on_unreadable: str = "stop",
        memory_mb: int = 2048,
        max_megapixels: float | None = None,
        cache: bool = False,
        cache_gb: float = 20,
    ) -> None:
        """Check the settings; nothing is read."""
        require_package("datasets", wanted_by="data=hub")
        super().__init__(
            image_size=image_size,
            fit=fit,
            on_unreadable=on_unreadable,
            memory_mb=memory_mb,
            max_megapixels=max_megapixels,
            cache=cache,
            cache_gb=cache_gb,
        )
        self.name, self.subset, self.revision, self.download = name, subset, revision, download
        self.image_column, self.label_column, self.groups = image_column, label_column, groups

    def load(self) -> Mapping[str, Part]:
        """Return `train`, and where the data set has them `val` and `test`; fill `classes` and `revision`.

        Raises:
            UserError: where the data set cannot be loaded, or has no such columns.
        """
        splits, self.revision = load_splits(
            self.name, subset=self.subset, revision=self.revision, download=self.download
        )
        features = next(iter(splits.values())).features
        image, label = self._find_columns(features)
        check_groups_key(self.groups, [column for column in features if column != image])
        parts = self._map_splits(splits)
        labels = {part: read_labels(part, rows, label) for part, rows in parts.items()}
        if hidden := [LeftOut(part, "without labels", len(parts[part])) for part, found in labels.items() if not found]:
            self.left_out = [*self.left_out, *hidden]
        parts = {part: rows for part, rows in parts.items() if labels[part]}
        self.classes = getattr(features[label], "names", None) or sort_classes(
            name for part in parts for name in labels[part]
        )
        if len(self.classes) < self.min_classes:
            raise UserError(f"data.label_column: expected two classes at least; {label} has {one_of(self.classes)}.")
        settings = {"size": self.size, "fit": self.fit, "max_pixels": self.max_pixels}
        images = {part: read_images(part, rows, image, **settings) for part, rows in parts.items()}
        groups = self._find_groups(parts, {part: names for part, (_, names) in images.items()})
        label_of = {name: label for label, name in enumerate(self.classes)}
        listed = {
            part: LabeledImages(
                images=encoded,
                labels=[label_of[name] for name in labels[part]],
                names=names,
                groups=None if groups is None else groups[part],
            )
            for part, (encoded, names) in images.items()
        }
        content = " ".join(rows._fingerprint for rows in parts.values())
        return self.read_parts(listed, root=f"hub {content}", key="data.name", where=f"images of {self.name}")

    @property
    def recorded(self) -> Mapping[str, Any]:
        """Return keys of the configuration with the values that a rerun needs: the revision, or an absolute path."""
        if self.revision:
            return {"revision": self.revision}
        path = expand_home(self.name)
        return {"name": str(path.resolve() if ".." in path.parts else path.absolute())}

    def _find_columns(self, features: Mapping[str, Any]) -> tuple[str, str]:
        from datasets import ClassLabel, Image

        images = [name for name, feature in features.items() if isinstance(feature, Image)]
        classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
        usual = {
            "image_column": images if len(images) == 1 else USUAL_IMAGES,
            "label_column": classes if len(classes) == 1 else USUAL_LABELS,
        }
        stated = {"image_column": self.image_column, "label_column": self.label_column}
        found = {key: find_column(features, key, stated[key], names) for key, names in usual.items()}
        for key, name in found.items():
            if name is None:
                noun = "images" if key == "image_column" else "class names"
                raise UserError(
                    f"data.{key}: expected the column of the {noun}; {self.name} has {one_of(features)}."
                    f" Type data.{key}=NAME."
                )
        return str(found["image_column"]), str(found["label_column"])

    def _map_splits(self, splits: Splits) -> dict[str, Any]:
        """Return the rows of train, val and test; a single split of any name is train."""
        if len(splits) == 1:
            return {"train": next(iter(splits.values()))}
        mapped: dict[str, Any] = {}
        left_out = []
        for name, rows in splits.items():
            if (part := PART_OF_WORD.get(name.lower())) is None:
                left_out.append(LeftOut(name, "no split of train, validation or test", len(rows)))
            elif part in mapped:
                raise UserError(f"data.name: expected one split of {part} in {self.name}; got {one_of(splits)}.")
            else:
                mapped[part] = rows
        if "train" not in mapped:
            raise UserError(f"data.name: expected a split train in {self.name}; got {one_of(splits)}.")
        self.left_out = left_out
        return {part: mapped[part] for part in ("train", "val", "test") if part in mapped}

    def _find_groups(
        self, parts: Mapping[str, Any], names: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Sequence[str]] | None:
        if self.groups is None:
            return None
        if self.groups not in next(iter(parts.values())).features:
            return find_groups(self.groups, names)
        return {part: read_groups(part, rows, self.groups) for part, rows in parts.items()}
