"""Images of any size and format to classes and probabilities, many at once; what cannot be read is named."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.hints import counted
from copycat.data.decode import UnreadableImage, decode
from copycat.data.listing import images_below
from copycat.data.side_by_side import side_by_side
from copycat.deploy.predictor import Predictor, opened_predictor
from copycat.runs.figures import figure, text
from copycat.runs.printing import given, print_table, wide_console, write_csv, write_json

BATCH = 256
"""Images in memory at once."""


@dataclass(frozen=True)
class Prediction:
    """Of one image."""

    file: Path
    probabilities: Sequence[float]
    """By label."""

    @property
    def label(self) -> int:
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)


def predictions(predictor: Predictor, files: Sequence[Path]) -> Iterator[Prediction | UnreadableImage]:
    """One for each file, in their order."""
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        found = list(_decoded(predictor, some, what=f"Images {start + 1} to {start + len(some)} of {len(files)}"))
        images = [image for image in found if isinstance(image, Tensor)]
        given = iter(predictor(torch.stack(images)).tolist() if images else ())
        for file, image in zip(some, found, strict=True):
            yield Prediction(file, next(given)) if isinstance(image, Tensor) else image


def _decoded(predictor: Predictor, files: Sequence[Path], *, what: str) -> Iterator[Tensor | UnreadableImage]:
    def read(index: int) -> Tensor | UnreadableImage:
        try:
            return decode(files[index], size=predictor.size, fit=predictor.fit)
        except UnreadableImage as error:
            return error

    return side_by_side(read, len(files), what=what)


def print_predictions(run: Path, places: Sequence[Path], *, form: Literal["table", "csv", "json"]) -> bool:
    """Predict with a run, and print it to standard output; files that can't be read are named on standard error.

    Args:
        places: image files, and folders whose images are taken, those of sub-folders too.

    Returns:
        Whether each file could be read.

    Raises:
        UserError: where the run cannot predict, or there is no such file or folder.
    """
    files = list(_files(places))
    with opened_predictor(run) as predictor:
        rows, broken = [], 0
        for found in predictions(predictor, files):
            if isinstance(found, Prediction):
                rows.append(_row(found, predictor.classes))
            else:
                broken += 1
                print(f"copycat: {text(str(found))}", file=sys.stderr)
    if form == "json":
        write_json({"run": str(run), "predictions": rows})
    elif form == "csv":
        write_csv(rows)
    elif rows:
        shown = [{**row, "probability": figure(row["probability"])} for row in rows]
        print_table(wide_console(), [(name, given(name)) for name in ("file", "class", "probability")], shown)
    if broken:
        print(f"copycat: {counted(broken, 'file')} of {len(files)} can't be read.", file=sys.stderr)
    return not broken


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise UserError(f"{place}: expected an image, or a folder of images; got none.")
            yield place
            continue
        try:
            files = images_below(place)
        except OSError as error:
            raise UserError(
                f"{place}: expected a folder that can be read; {(error.strerror or '').lower()}."
            ) from error
        if not files:
            raise UserError(f"{place}: expected images; got a folder without any.")
        yield from files


def _row(found: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    each = {f"probability/{name}": value for name, value in zip(classes, found.probabilities, strict=True)}
    label = found.label
    return {"file": str(found.file), "class": classes[label], "probability": found.probabilities[label], **each}
