"""Convert folders of tiny images, and load what came of them."""

from pathlib import Path
from typing import Any

from copycat.config.options import packaged_targets
from copycat.config.targets import import_target
from copycat.data.conversion.convert import Conversion, convert
from copycat.data.sources.folder import Folder
from copycat.data.sources.image_source import ImageSource
from copycat.data.split import Part

CONVERTED = ("shards", "webdataset", "lance")
"""Forms whose rows hold encoded images."""


def convert_folder(root: Path, to: Path, *, form: str = "shards", rows: int = 2, **options: Any) -> Conversion:
    source = Folder(root=str(root), **{"image_size": 8, "memory_mb": 0, **options})
    return convert(source, to, form=form, rows=rows)


def make_source(form: str, root: Path | str, **options: Any) -> ImageSource:
    (target,) = packaged_targets("data")[form]
    source = import_target("data", target)(root=str(root), **{"image_size": 8, **options})
    assert isinstance(source, ImageSource)
    return source


def load_rows(form: str, root: Path | str, **options: Any) -> dict[str, Part]:
    return dict(make_source(form, root, **options).load())
