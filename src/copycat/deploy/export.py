"""Export a run's network for use without Copycat: safetensors, torch.export or ONNX."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from copycat.config.errors import UserError
from copycat.config.extras import install_command
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line
from copycat.data import decode
from copycat.deploy import decision
from copycat.deploy.calibration_note import report_foreign_calibrations
from copycat.deploy.card import describe_export
from copycat.deploy.evaluation import iterate_images
from copycat.deploy.export_check import KINDS, difference_on_files, difference_on_pixels, loaded_script, write_images
from copycat.deploy.model_file import NETWORKS, describe_model, uses_networks
from copycat.deploy.network_file import FILES, Format, write_network
from copycat.deploy.predictor import Predictor, open_predictor
from copycat.deploy.use_scripts import DESCRIPTION, SCRIPTS
from copycat.models import networks
from copycat.records.run_loader import Opened
from copycat.training.components import build_data

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WRITING: Mapping[Format, str] = {
    "safetensors": "writing the weights",
    "torch": "tracing the network by torch.export",
    "onnx": "loading the ONNX exporter and tracing the network, which takes longest the first time",
}
"""Lines about the steps that write the network."""
Say = Callable[[str], None]
OUR_MODULES = ("use.py", "decode.py", "decision.py", f"{NETWORKS}.py", "__pycache__")
MAX_DIFFERENCE = 1e-5
"""Largest accepted difference between probabilities of the export and of the run."""


@dataclass(frozen=True)
class Export:
    """Hold an export and its differences from the run."""

    folder: Path
    difference: float | None
    """The largest difference in any probability of any validation image; None where these are unavailable."""
    difference_on_files: float
    """The largest difference in any probability of the image files of `write_images`."""
    why_not: str = ""
    """Why the export was not compared on the validation images."""


def export(opened: Opened, form: Format, *, to: Path, say: Say = lambda _: None, calibrated: bool = True) -> Export:
    """Write a completed run as network, model card and script that uses it: all of them, or nothing.

    `say` is called with a line at the start of each step that takes long; for `calibrated` see `open_predictor`.

    Raises:
        UserError: where the network cannot be exported in this format, the export's probabilities differ, or the folder
            cannot be written to.
    """
    if form == "onnx" and (missing := [name for name in ONNX_PACKAGES if find_spec(name) is None]):
        raise UserError(
            f"--format onnx: expected {', '.join(ONNX_PACKAGES)}; {', '.join(missing)} is not installed."
            f" Type {install_command('onnx')}."
        )
    report_foreign_calibrations([opened] if calibrated else ())
    with open_predictor(opened, calibrated=calibrated) as predictor:
        description = describe_model(predictor, opened, form)
        try:
            with _atomic_folder(to) as folder:
                say(WRITING[form])
                write_network(form, predictor, opened, folder / FILES[form])
                for module in (decode, decision):
                    shutil.copyfile(str(module.__file__), folder / f"{module.__name__.rpartition('.')[2]}.py")
                if form == "safetensors" and uses_networks(opened.config["model"]):
                    shutil.copyfile(networks.__file__, folder / f"{NETWORKS}.py")
                (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
                (folder / "use.py").write_text(SCRIPTS[form], encoding="utf-8")
                say("comparing the export with the run")
                exported = _check_export(form, folder, predictor, opened, to=to)
                difference, images = exported.difference, "the validation images"
                if difference is None:
                    difference, images = exported.difference_on_files, KINDS
                card = describe_export(opened, predictor, form=form, difference=difference, images=images)
                (folder / "README.md").write_text("".join(f"{line}\n" for line in card), encoding="utf-8")
        except OSError as error:
            raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error
    return exported


@contextmanager
def _atomic_folder(to: Path) -> Iterator[Path]:
    """Yield a folder whose files are moved to `to` at the end; on an error `to` stays unchanged."""
    _check_no_modules(to)
    parent = next(path for path in (to, *to.absolute().parents) if path.is_dir())  # on the same file system
    with TemporaryDirectory(prefix=".copycat-export-", dir=parent) as name:
        folder = Path(name)
        yield folder
        to.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(to / "__pycache__", ignore_errors=True)  # it may belong to an earlier export
        for file in folder.iterdir():
            if file.is_file():
                file.replace(to / file.name)


def _check_no_modules(to: Path) -> None:
    """Refuse a folder in which use.py would import a foreign module, such as a `json.py` in an untrusted run folder."""
    for entry in to.iterdir() if to.is_dir() else ():
        is_module = entry.name.isidentifier() if entry.is_dir() else entry.suffix in all_suffixes()
        if is_module and entry.name not in OUR_MODULES:
            raise UserError(
                f"--to: expected a folder without modules, which use.py would import; got {to} with {entry.name!a:.80}."
                " Type --to FOLDER, a new one."
            )


def _check_export(form: Format, folder: Path, predictor: Predictor, opened: Opened, *, to: Path) -> Export:
    """Compare the exported files with the run, through the exported script itself; refuse an export that differs."""
    part, why_not = None, ""
    try:
        part = build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"]
    except UserError as error:
        why_not = str(error)
    try:
        with loaded_script(folder) as script, TemporaryDirectory(prefix="copycat-") as images:
            on_files = difference_on_files(script, predictor, write_images(Path(images), size=predictor.size))
            difference = None if part is None else difference_on_pixels(script, predictor, iterate_images(part))
    except Exception as error:  # a runtime or a user's own network may raise anything
        raise UserError(
            f"--format {form}: expected an export that its own script can use; {first_line(error)}."
            " Try another --format."
        ) from error
    if (largest := max(on_files, difference or 0.0)) > MAX_DIFFERENCE:
        raise UserError(
            f"{opened.folder}: expected an export that says the same to {MAX_DIFFERENCE:g};"
            f" it differs by {largest:.2g}. Try another --format."
        )
    return Export(to, difference, on_files, why_not)


def print_export(run: Opened, form: Format, *, to: Path | None, say: Say, calibrated: bool = True) -> None:
    """Export a run, and print the folder and the largest differences from the run."""
    exported = export(run, form, to=to or run.user_path / "export" / form, say=say, calibrated=calibrated)
    print_line(exported.folder)
    if exported.difference is None:
        print_line(f"copycat: not held against the validation images: {exported.why_not}", error=True)
    else:
        print_line(f"largest difference in probability on the validation images: {exported.difference:.2g}")
    print_line(f"largest difference in probability on {KINDS}: {exported.difference_on_files:.2g}")
