"""gallery.json: the images that a run's final weights get most wrong, and those that they are least sure of."""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from copycat.runs.folder import write_whole
from copycat.runs.plain import read_file, read_json
from copycat.runs.typed import made

FILE = "gallery.json"
SIDE = 128
"""Pixels of an image in it, at most."""
MOST = 2**24
"""Bytes of the file, at most."""
TITLES = {"wrong": "most wrong", "unsure": "least sure"}
"""By kind."""


@dataclass(frozen=True)
class Shown:
    """An image of the validation part, and what was said of it."""

    kind: str
    index: int
    """Its place in the part."""
    name: str
    label: str
    said: str
    probability: float
    """Of what was said."""
    png: str
    """In base64."""

    @property
    def words(self) -> str:
        return f"says {self.said}, {self.probability:.2f}\nis {self.label}"

    @property
    def pixels(self) -> bytes:
        """As PNG."""
        return b64decode(self.png)


def write_gallery(folder: Path, shown: Sequence[Shown]) -> None:
    text = json.dumps([asdict(one) for one in shown], ensure_ascii=False)
    write_whole(folder / FILE, text.encode(errors="replace"))


def read_gallery(folder: Path) -> list[Shown]:
    """Empty where a run wrote none.

    Raises:
        ValueError: where it is no such file.
    """
    try:
        content = read_json(read_file(folder / FILE, most=MOST))
    except FileNotFoundError:
        return []
    if not isinstance(content, list):
        raise ValueError(f"{folder / FILE}: expected a list of images")
    return [made(Shown, one) for one in content]
