"""Export a run's network for use without Copycat."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.printable import Notify, print_line
from copycat.config.suggestions import first_line
from copycat.data import decode
from copycat.data.sources.root import find_missing_data
from copycat.data.split import Part
from copycat.deploy import decision
from copycat.deploy.calibration_note import report_foreign_calibrations
from copycat.deploy.card import describe_export
from copycat.deploy.evaluated_parts import iterate_images
from copycat.deploy.export_check import (
    KINDS,
    Comparison,
    compare_on_files,
    compare_on_pixels,
    loaded_script,
    write_images,
)
from copycat.deploy.export_folder import check_export_folder
from copycat.deploy.export_formats import FORMATS, Format, check_format
from copycat.deploy.model_file import NETWORKS, describe_model, uses_networks
from copycat.deploy.network_file import write_network
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.deploy.use_scripts import DESCRIPTION, SCRIPTS
from copycat.deploy.web_page import write_web_page
from copycat.models import networks
from copycat.records.run_loader import Opened
from copycat.training.components import build_data

CALIBRATION_IMAGES = 256
"""Training images that ranges of activations are taken from, at most."""


@dataclass(frozen=True)
class Export:
    """Hold an export and its differences from the run."""

    folder: Path
    on_files: Comparison
    """On the image files of `write_images`."""
    on_validation: Comparison | None
    """On the validation images; None where these are unavailable."""
    accuracies: tuple[float, float] | None
    """Accuracies of the run and of the export on the validation images."""
    tolerance: float
    """Accepted difference, as `ExportFormat` has it."""
    why_not: str = ""
    """Why the export was not compared on the validation images."""
    calibration_images: int = 0
    """Number of training images that ranges of activations were taken from."""

    @property
    def difference(self) -> float | None:
        """Return the largest difference in any probability of any validation image; None without them."""
        return None if self.on_validation is None else self.on_validation.largest

    @property
    def difference_on_files(self) -> float:
        """Return the largest difference in any probability of the image files of `write_images`."""
        return self.on_files.largest


def export(
    opened: Opened,
    form: Format,
    *,
    to: Path,
    notify: Notify = lambda _: None,
    calibrated: bool = True,
    tolerance: float | None = None,
) -> Export:
    """Write a completed run as network, model card and script that uses it: all of them, or nothing.

    `notify` is called with a line at the start of each step that takes long; for `calibrated` see `open_predictor`,
    for the tolerance `ExportFormat`, which has the default.

    Raises:
        UserError: where the network cannot be exported in this format, the export's probabilities differ, or the folder
            cannot be written to.
    """
    check_format(form)
    kind = FORMATS[form]
    accepted = kind.tolerance if tolerance is None else tolerance
    report_foreign_calibrations([opened] if calibrated else ())
    with open_predictor(opened, calibrated=calibrated) as predictor:
        description = describe_model(predictor, opened, form)
        parts, why_not = _load_parts(opened)
        images = _calibration_images(parts, why_not) if form == "int8" else ()
        try:
            with _atomic_folder(to, form) as folder:
                notify(kind.writing)
                write_network(form, predictor, opened, folder, calibration=images)
                for module in (decode, decision):
                    shutil.copyfile(str(module.__file__), folder / f"{module.__name__.rpartition('.')[2]}.py")
                if form == "safetensors" and uses_networks(opened.config):
                    shutil.copyfile(networks.__file__, folder / f"{NETWORKS}.py")
                (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
                (folder / "use.py").write_text(SCRIPTS[form], encoding="utf-8")
                if form == "web":
                    write_web_page(folder, folder / kind.file, description, opened, notify=notify)
                notify("comparing the export with the run")
                on_files, on_validation = _compare(form, folder, predictor, parts.get("val"))
                _check(form, on_validation or on_files, on_files, accepted)
                accuracies = None if on_validation is None else on_validation.accuracies(parts["val"].labels)
                exported = Export(to, on_files, on_validation, accuracies, accepted, why_not, len(images))
                card = describe_export(opened, predictor, exported, form=form)
                (folder / "README.md").write_text("".join(f"{line}\n" for line in card), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error
    return exported


def _load_parts(opened: Opened) -> tuple[Mapping[str, Part], str]:
    """Return the parts of a run's images, or none and why they cannot be read."""
    if place := find_missing_data(opened.config["data"]):
        return {}, f"its images in {place} are not there. Put them back."
    try:
        return build_data(opened.config["data"], seed=opened.config["seed"]).parts, ""
    except UserError as error:
        return {}, str(error)


def _calibration_images(parts: Mapping[str, Part], why_not: str) -> Sequence[Tensor]:
    """Return training images, evenly spread."""
    if "train" not in parts:
        raise UserError(f"--format int8: expected the run's training images, which set the ranges; {why_not}")
    part = parts["train"]
    places = np.linspace(0, len(part) - 1, min(len(part), CALIBRATION_IMAGES)).round().astype(int)
    return [part.images[place] for place in places.tolist()]


@contextmanager
def _atomic_folder(to: Path, form: Format) -> Iterator[Path]:
    """Yield a folder whose files are moved to `to` at the end; on an error `to` stays unchanged."""
    check_export_folder(to, form)
    parent = next(path for path in (to, *to.absolute().parents) if path.is_dir())  # on the same file system
    with TemporaryDirectory(prefix=".copycat-export-", dir=parent) as name:
        folder = Path(name)
        yield folder
        to.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(to / "__pycache__", ignore_errors=True)  # it may belong to an earlier export
        for file in folder.iterdir():
            if file.is_file():
                file.replace(to / file.name)


def _compare(
    form: Format, folder: Path, predictor: Predictor, part: Part | None
) -> tuple[Comparison, Comparison | None]:
    """Compare the exported files with the run, through the exported script itself."""
    try:
        with loaded_script(folder) as script, TemporaryDirectory(prefix="copycat-") as images:
            on_files = compare_on_files(script, predictor, write_images(Path(images), size=predictor.size))
            on_pixels = None if part is None else compare_on_pixels(script, predictor, iterate_images(part))
            return on_files, on_pixels
    except Exception as error:  # a runtime or a user's own network may raise anything
        raise UserError(
            f"--format {form}: expected an export that its own script can use; {first_line(error)}."
            " Try another --format."
        ) from error


def _check(form: Format, on_images: Comparison, on_files: Comparison, tolerance: float) -> None:
    """Refuse an export that differs."""
    kind = FORMATS[form]
    # synthetic files lie outside the ranges that photographs set
    difference = on_images.mean if kind.is_rounded else max(on_images.largest, on_files.largest)
    if difference > tolerance:
        on_average = " on average" if kind.is_rounded else ""
        raise UserError(
            f"--format {form}: expected probabilities within {tolerance:g}{on_average} of the run's; got a difference"
            f" of {difference:.2g}. Try another --format, or --tolerance."
        )


def print_export(
    run: Opened,
    form: Format,
    *,
    to: Path | None,
    notify: Notify,
    calibrated: bool = True,
    tolerance: float | None = None,
) -> None:
    """Export a run, and print the folder and the largest differences from the run."""
    folder = to or run.user_path / "export" / form
    exported = export(run, form, to=folder, notify=notify, calibrated=calibrated, tolerance=tolerance)
    print_line(exported.folder)
    if exported.difference is None:
        print_line(f"copycat: not compared on the validation images: {exported.why_not}", error=True)
    else:
        print_line(f"largest difference in probability on the validation images: {exported.difference:.2g}")
    print_line(f"largest difference in probability on {KINDS}: {exported.difference_on_files:.2g}")
    if FORMATS[form].is_rounded and exported.accuracies and exported.on_validation:
        before, after = exported.accuracies
        print_line(f"mean difference in probability on the validation images: {exported.on_validation.mean:.2g}")
        print_line(f"accuracy on the validation images: {before:.4f} before, {after:.4f} after")
