"""Images of any size and format to classes and probabilities, many at once; what cannot be read is named."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.printable import print_line, printable
from copycat.config.suggestions import counted
from copycat.data.decode import UnreadableImage, decode
from copycat.data.parallel_map import side_by_side
from copycat.data.sources.folder_scan import images_below
from copycat.deploy.arguments import STANDARD_INPUT, check_images
from copycat.deploy.predictor import Predictor, opened_predictor
from copycat.inspection.callbacks.contact_sheet import Picture, png_of
from copycat.inspection.callbacks.contact_sheet import sheet as contact_sheet
from copycat.records.run_folder import write_whole
from copycat.records.run_loader import Opened
from copycat.tables.render import csv_begun, given, print_table, wide_console, write_json
from copycat.tables.statistics import figure

BATCH = 64
"""Images in memory at once. Of 256 a CNN's first layer is so large that more images come to take more memory."""
ON_SHEET, COLUMNS = 200, 8
"""Images on a contact sheet, at most, and in a row of it."""
MOST_BYTES = 2**28
"""Of an image on standard input."""


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
            return decode(files[index], size=predictor.size, fit=predictor.fit, max_pixels=predictor.max_pixels)
        except UnreadableImage as error:
            return error

    return side_by_side(read, len(files), what=what)


def print_predictions(
    run: Opened,
    places: Sequence[Path],
    *,
    form: Literal["table", "csv", "json"],
    sheet: Path | None = None,
    views: int = 1,
) -> bool:
    """Predict with a run, and print it to standard output; files that can't be read are named on standard error.

    Args:
        places: image files, and folders whose images are taken, those of sub-folders too; `-` is one image on standard
            input.
        sheet: a PNG to write, of the first images with what is said of them.
        views: of each image, see `opened_predictor`.

    Returns:
        Whether each file could be read.

    Raises:
        UserError: where the run cannot predict, or there is no such file or folder.
    """
    with opened_predictor(run, views=views) as predictor, _listed(places) as files:
        rows: list[dict[str, Any]] = []
        # a CSV is written as it comes, and so takes no more memory for more images
        take = csv_begun(_columns(predictor.classes)) if form == "csv" else rows.append
        broken, shown = 0, list[tuple[Picture, str]]()
        for found in predictions(predictor, files):
            if isinstance(found, Prediction):
                take(_row(found, predictor.classes))
                if sheet is not None and len(shown) < ON_SHEET:
                    shown.append(_shown(found, predictor))
            else:
                broken += 1
                print_line(f"copycat: {found}", error=True)
    if sheet is not None:
        _write_sheet(shown, sheet)
    if form == "json":
        write_json({"run": str(run.user_path), "predictions": rows})
    elif rows:
        table = [{**row, "probability": figure(row["probability"])} for row in rows]
        print_table(wide_console(), [(name, given(name)) for name in ("file", "class", "probability")], table)
    if broken:
        print_line(f"copycat: {counted(broken, 'file')} of {len(files)} can't be read.", error=True)
    return not broken


def _shown(found: Prediction, predictor: Predictor) -> tuple[Picture, str]:
    image = decode(found.file, size=predictor.size, fit=predictor.fit, max_pixels=predictor.max_pixels)
    label = found.label
    said = f"{printable(predictor.classes[label])} {found.probabilities[label]:.2f}"
    return image.permute(1, 2, 0).numpy(), f"{said}\n{printable(found.file.name)}"


def _write_sheet(shown: Sequence[tuple[Picture, str]], to: Path) -> None:
    if not shown:
        raise UserError(f"--sheet: expected an image that can be read; got none to put on {to}.")
    pictures, words = zip(*shown, strict=True)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, png_of(contact_sheet(pictures, words, columns=COLUMNS)))
    except OSError as error:
        raise UserError(f"--sheet: expected a file to write to; got {to}: {error.strerror}.") from error


@contextmanager
def _listed(places: Sequence[Path]) -> Iterator[list[Path]]:
    """All files; an image on standard input lies in a folder of its own meanwhile."""
    if STANDARD_INPUT not in places:
        yield list(_files(places))
        return
    with tempfile.TemporaryDirectory(prefix="copycat-") as folder:
        file = Path(folder) / "standard input"
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"-: expected an image of {MOST_BYTES >> 20} MB or less on standard input; got more.")
        file.write_bytes(content)
        yield [found for place in places for found in ([file] if place == STANDARD_INPUT else _files([place]))]


def _files(places: Sequence[Path]) -> Iterator[Path]:
    check_images(places)
    for place in places:
        if not place.is_dir():
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


def _columns(classes: Sequence[str]) -> list[str]:
    return ["file", "class", "probability", *(f"probability/{name}" for name in classes)]


def _row(found: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    label = found.label
    values = (str(found.file), classes[label], found.probabilities[label], *found.probabilities)
    return dict(zip(_columns(classes), values, strict=True))
