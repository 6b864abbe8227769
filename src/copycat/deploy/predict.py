"""Classify images of any size and format in batches, and report those that cannot be read."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.printable import print_line, printable
from copycat.config.suggestions import pluralize
from copycat.data.decode import UnreadableImage, decode
from copycat.data.progress import parallel_map
from copycat.deploy.arguments import STANDARD_INPUT
from copycat.deploy.calibration_note import make_note, report_foreign_calibrations
from copycat.deploy.decision import describe_set, join_names
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.inspection.callbacks.contact_sheet import Picture, contact_sheet, encode_png
from copycat.records.run_loader import Opened
from copycat.tables.render import print_table, start_csv, value_cell, wide_console, write_json
from copycat.tables.statistics import format_number

BATCH = 64
"""Images in memory at once. With 256 the activations of a CNN's first layer dominate memory."""
MAX_ON_SHEET, COLUMNS = 200, 8
"""Images on a contact sheet and in one of its rows, at most."""
MAX_COLUMNS = 10
"""Classes whose probabilities have a column, at most, where images may have several; CSV and JSON have all."""
MAX_BYTES = 2**28
"""Size of an image on standard input in bytes, at most."""


@dataclass(frozen=True)
class Prediction:
    """Hold the probabilities of one image, and what is decided by them."""

    file: Path
    probabilities: Sequence[float]
    """Probability of each class, by label."""
    label: int | Sequence[bool]
    """Predicted: the most probable one, or by the run's calibration that of a cost or a recall; or whether each class
    is, where images may have several."""
    inside: Sequence[bool] | None = None
    """Whether each class is in the conformal set; None of a run without sets."""


def predict_files(
    predictor: Predictor, files: Sequence[Path], *, piped: bytes | None = None
) -> Iterator[Prediction | UnreadableImage]:
    """Yield one prediction or error for each file, in their order; `piped` is the content of the file `-`."""
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        what = f"Images {start + 1} to {start + len(batch)} of {len(files)}"
        decoded = list(_decode_files(predictor, batch, piped, what=what))
        images = [image for image in decoded if isinstance(image, Tensor)]
        found = iter(classify(predictor, torch.stack(images)) if images else ())
        for file, image in zip(batch, decoded, strict=True):
            yield Prediction(file, *next(found)) if isinstance(image, Tensor) else image


def classify(predictor: Predictor, images: Tensor) -> Iterator[tuple[list[float], Any, list[bool] | None]]:
    """Yield the probabilities, the label and the set of each image of a batch, as `Prediction` holds them."""
    probability = predictor(images)
    decided = predictor.decide(probability)
    sets = [None] * len(images) if decided.sets is None else decided.sets.tolist()
    return zip(probability.tolist(), decided.labels.tolist(), sets, strict=True)


def _decode_files(
    predictor: Predictor, files: Sequence[Path], piped: bytes | None, *, what: str
) -> Iterator[Tensor | UnreadableImage]:
    def read(index: int) -> Tensor | UnreadableImage:
        try:
            return _decode_file(files[index], predictor, piped)
        except UnreadableImage as error:
            return error

    return parallel_map(read, len(files), what=what)


def _decode_file(file: Path, predictor: Predictor, piped: bytes | None) -> Tensor:
    content = piped if file == STANDARD_INPUT else None
    return decode(file, size=predictor.size, fit=predictor.fit, max_pixels=predictor.max_pixels, content=content)


def print_predictions(
    run: Opened,
    files: Sequence[Path],
    *,
    form: Literal["table", "csv", "json"],
    sheet: Path | None = None,
    views: int = 1,
    calibrated: bool = True,
) -> bool:
    """Classify images with a run and print the result to standard output; report unreadable files on standard error.

    The file `-` is an image on standard input; the sheet is a PNG to write, of the first images with their predictions.
    For `views` and `calibrated` see `open_predictor`. Return whether all files could be read.

    Raises:
        UserError: where the run cannot predict.
    """
    report_foreign_calibrations([run] if calibrated else ())
    with open_predictor(run, views=views, calibrated=calibrated) as predictor:
        piped = _read_standard_input() if STANDARD_INPUT in files else None
        rows: list[dict[str, Any]] = []
        # CSV rows are written immediately, so that memory does not grow with the number of images
        made = predictor.calibration
        has_sets = made is not None and made.coverage is not None
        add_row: Callable[[dict[str, Any]], object] = rows.append
        if form == "csv":
            add_row = start_csv(_columns(predictor.classes, has_sets=has_sets, multi_label=predictor.is_multi_label))
        unreadable, sheet_entries = 0, list[tuple[Picture, str]]()
        for result in predict_files(predictor, files, piped=piped):
            if isinstance(result, Prediction):
                row = make_row(result, predictor.classes)
                add_row({**row, "classes": join_names(row["classes"])} if form == "csv" and "classes" in row else row)
                if sheet is not None and len(sheet_entries) < MAX_ON_SHEET:
                    sheet_entries.append(_sheet_entry(result, predictor, piped))
            else:
                unreadable += 1
                print_line(f"copycat: {result}", error=True)
    if sheet is not None:
        _write_sheet(sheet_entries, sheet)
    if form == "json":
        write_json({"run": str(run.user_path), "predictions": rows})
    elif rows:
        titles, table = _make_table(rows, predictor.classes)
        titles |= {"set": f"set of {made.coverage:g} coverage"} if made and has_sets else {}
        print_table(wide_console(), [(title, value_cell(name)) for name, title in titles.items()], table)
        for line in _notes(predictor):
            print_line(line)
    if unreadable:
        print_line(f"copycat: {unreadable} of {pluralize(len(files), 'file')} can't be read.", error=True)
    return not unreadable


def _make_table(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the titles of the table's columns, and its rows."""
    if "class" in rows[0]:
        titles = {"file": "file", "class": "predicted class", "probability": "probability"}
        return titles, [{**row, "probability": format_number(row["probability"])} for row in rows]
    names = [f"probability/{name}" for name in classes[:MAX_COLUMNS]]
    titles = {"file": "file", "classes": "predicted classes", **{name: name.replace("/", "\n", 1) for name in names}}
    table = [{**row, "classes": join_names(row["classes"])} for row in rows]
    return titles, [row | {name: format_number(row[name]) for name in names} for row in table]


def _notes(predictor: Predictor) -> Iterator[str]:
    if made := predictor.calibration:
        yield make_note(made, predictor.classes)
        if predictor.views > 1 and (made.coverage or made.recall):
            yield "coverage and recall are stated for one view of each image; of several they may be others"


def _sheet_entry(prediction: Prediction, predictor: Predictor, piped: bytes | None) -> tuple[Picture, str]:
    image = _decode_file(prediction.file, predictor, piped)
    row = make_row(prediction, predictor.classes)
    caption = printable(join_names(row["classes"])) if "classes" in row else _name_class(row)
    if prediction.inside is not None and sum(prediction.inside) > 1:
        caption = f"not sure: {caption}"
    return image.permute(1, 2, 0).numpy(), f"{caption}\n{printable(prediction.file.name)}"


def _name_class(row: dict[str, Any]) -> str:
    return f"{printable(row['class'])} {row['probability']:.2f}"


def _write_sheet(entries: Sequence[tuple[Picture, str]], to: Path) -> None:
    if not entries:
        raise UserError(f"--sheet: expected an image that can be read; got none to put on {to}.")
    pictures, captions = zip(*entries, strict=True)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_whole(to, encode_png(contact_sheet(pictures, captions, columns=COLUMNS), software="Copycat"))
    except OSError as error:
        raise UserError(f"--sheet: expected a file to write to; got {to}: {error.strerror}.") from error


def _read_standard_input() -> bytes:
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(f"-: expected an image of {MAX_BYTES >> 20} MB or less on standard input; got more.")
    return content


def _columns(classes: Sequence[str], *, has_sets: bool, multi_label: bool = False) -> list[str]:
    if multi_label:
        return ["file", "classes", *(f"probability/{name}" for name in classes)]
    sets = ["set", *(f"in_set/{name}" for name in classes)] if has_sets else []
    return ["file", "class", "probability", *(f"probability/{name}" for name in classes), *sets]


def make_row(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    """Return a prediction as JSON has it, and CSV, where predicted classes are joined by `;`."""
    label = prediction.label
    if not isinstance(label, int):
        predicted = [name for name, is_predicted in zip(classes, label, strict=True) if is_predicted]
        found = (str(prediction.file), predicted, *prediction.probabilities)
        return dict(zip(_columns(classes, has_sets=False, multi_label=True), found, strict=True))
    values: list[Any] = [str(prediction.file), classes[label], prediction.probabilities[label]]
    values += prediction.probabilities
    if prediction.inside is not None:
        values += [describe_set(classes, prediction.inside), *prediction.inside]
    return dict(zip(_columns(classes, has_sets=prediction.inside is not None), values, strict=True))
