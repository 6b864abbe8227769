"""The page of `copycat export --format web`: it classifies images in a browser, and holds all that it needs."""

import gzip
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from copycat.config.printable import Notify
from copycat.deploy.web_runtime import PACKAGE, load_web_runtime
from copycat.inspection.reports.page import make_printable, stylesheet
from copycat.inspection.reports.verdict import make_title
from copycat.records.run_loader import Opened

PAGE = "index.html"


def write_web_page(
    folder: Path, model: Path, description: Mapping[str, Any], opened: Opened, *, notify: Notify
) -> None:
    """Write the page beside an ONNX model; for its description see `describe_model`.

    Raises:
        UserError: where the runtime cannot be had.
    """
    runtime = load_web_runtime(notify)
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, finalize=make_printable, undefined=StrictUndefined
    )
    text = environment.get_template("web.html").render(
        title=make_title(opened.user_path, opened.config, opened.manifest),
        stylesheet=stylesheet(),
        model={**description, "columns_first": _takes_columns_first()},
        package=PACKAGE,
        script=_as_script(runtime.script),
        packed={name: _pack(content) for name, content in _contents(runtime.module, runtime.wasm, model).items()},
    )
    (folder / PAGE).write_text(text, encoding="utf-8")


def _contents(module: bytes, wasm: bytes, model: Path) -> Mapping[str, bytes]:
    return {"runtime-module": module, "runtime-wasm": wasm, "network": model.read_bytes()}


def _as_script(content: bytes) -> Markup:
    text = content.decode()
    assert "</script" not in text.lower()
    return Markup(text)  # of a package that is checked by its hash


def _pack(content: bytes) -> str:
    """Compress to text: a third of the size of plain base64."""
    return b64encode(gzip.compress(content, mtime=0)).decode()


def _takes_columns_first() -> bool:
    """Return whether this Pillow resamples columns before rows where an image is tall, as newer versions do."""
    bicubic = Image.Resampling.BICUBIC
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 9), np.uint8))
    rows_first = image.resize((8, 64), bicubic).resize((8, 8), bicubic)
    return image.resize((8, 8), bicubic).tobytes() != rows_first.tobytes()
