"""A run's network as files that are used without Copycat: safetensors, torch.export or ONNX."""

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.extras import installing
from copycat.config.printable import print_line
from copycat.config.suggestions import first_line
from copycat.data import decode
from copycat.data.split import Part
from copycat.deploy.card import card
from copycat.deploy.export_check import KINDS, difference_on_files, difference_on_pixels, loaded_script, write_images
from copycat.deploy.model_file import NETWORKS, described, uses_networks
from copycat.deploy.predictor import Predictor, Said, opened_predictor
from copycat.deploy.use_scripts import DESCRIPTION, SCRIPTS
from copycat.models import networks
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened
from copycat.training.factory import build_data

Format = Literal["safetensors", "torch", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES = {"safetensors": "model.safetensors", "torch": "model.pt2", "onnx": "model.onnx"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")
MOST = 1e-5
"""By which a probability of the exported network may differ."""
BATCH = 256
"""Images that it is checked on at once."""


@dataclass(frozen=True)
class Exported:
    folder: Path
    difference: float | None
    """The largest, of any probability of any validation image; None where there is nothing to hold it against."""
    difference_on_files: float
    """The largest, of any probability of an oriented, transparent, grey, palette or deep image file."""
    why_not: str = ""
    """Why it was not checked on the validation images."""


def export(opened: Opened, form: Format, *, to: Path) -> Exported:
    """Write a completed run's network, a model card and a script that uses it; all of them, or nothing.

    Args:
        to: a folder; made if need be.

    Raises:
        UserError: where the run's network cannot be exported so, what comes out says something else, or the folder
            cannot be written to.
    """
    if form == "onnx" and (missing := [name for name in NEEDED if find_spec(name) is None]):
        raise UserError(
            f"--format onnx: expected {', '.join(NEEDED)}; {', '.join(missing)} is not installed."
            f" Type {installing('onnx')}."
        )
    with opened_predictor(opened) as predictor:
        description = described(predictor, opened, form)
        try:
            with _made_whole(to) as folder:
                _write(form, predictor, opened, folder / FILES[form])
                shutil.copyfile(decode.__file__, folder / "decode.py")
                if form == "safetensors" and uses_networks(opened.config["model"]):
                    shutil.copyfile(networks.__file__, folder / f"{NETWORKS}.py")
                (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
                (folder / "use.py").write_text(SCRIPTS[form], encoding="utf-8")
                done = _checked(form, folder, predictor, opened, to=to)
                difference, images = (
                    (done.difference_on_files, KINDS)
                    if done.difference is None
                    else (done.difference, "the validation images")
                )
                text = card(opened, form=form, size=predictor.size, difference=difference, images=images)
                (folder / "README.md").write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error
    return done


@contextmanager
def _made_whole(to: Path) -> Iterator[Path]:
    """A folder whose files become those of `to` at the end; where that is not reached, `to` is as before."""
    _check_no_modules(to)
    near = next(path for path in (to, *to.absolute().parents) if path.is_dir())  # of the same file system
    with TemporaryDirectory(prefix=".copycat-export-", dir=near) as name:
        folder = Path(name)
        yield folder
        to.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(to / "__pycache__", ignore_errors=True)  # it need not be of the files that come now
        for file in folder.iterdir():
            if file.is_file():
                file.replace(to / file.name)


def _check_no_modules(to: Path) -> None:
    """Refuse a folder where use.py would import a module of somebody else, as `json.py` in a run folder of theirs.

    Raises:
        UserError: where there is one.
    """
    for entry in to.iterdir() if to.is_dir() else ():
        is_module = entry.name.isidentifier() if entry.is_dir() else entry.suffix in all_suffixes()
        if is_module and entry.name not in ("use.py", "decode.py", f"{NETWORKS}.py", "__pycache__"):
            raise UserError(
                f"--to: expected a folder without modules, which use.py would import; got {to} with {entry.name!a:.80}."
                " Type --to FOLDER, a new one."
            )


def _write(form: Format, predictor: Predictor, opened: Opened, path: Path) -> None:
    if form == "safetensors":
        shutil.copyfile(opened.folder / WEIGHTS, path)
        return
    said = Said(_for_onnx(predictor) if form == "onnx" else predictor.network, predictor.loss).eval()
    example = torch.zeros(2, 3, predictor.size, predictor.size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters' own
            program = torch.export.export(said, (example,), dynamic_shapes={"image": {0: batch}}, strict=False)
            if form == "torch":
                torch.export.save(program, path)
            else:
                torch.onnx.export(program, (), path, dynamo=True, external_data=False, verbose=False)
    except Exception as error:  # of a network of the user's own, of any kind
        raise UserError(
            f"--format {form}: expected a network that torch can export; {first_line(error)}. Try --format safetensors."
        ) from error


def _for_onnx(predictor: Predictor) -> torch.nn.Module:
    """The network in float32, which ONNX runtimes have all operators for.

    Raises:
        UserError: where the run's own precision is lower: what float32 gives is not what the run said.
    """
    dtypes = {tensor.dtype for tensor in predictor.network.parameters()}
    if half := dtypes & {torch.bfloat16, torch.float16}:
        raise UserError(
            f"--format onnx: expected weights of 32 or 64 bit; got {str(half.pop()).removeprefix('torch.')}, which ONNX"
            " runtimes do not compute as torch does. Type --format safetensors, or torch."
        )
    return deepcopy(predictor.network).float() if torch.float64 in dtypes else predictor.network


def _checked(form: Format, folder: Path, predictor: Predictor, opened: Opened, *, to: Path) -> Exported:
    """Hold what lies in the folder against the run, through the script itself.

    Raises:
        UserError: where they differ.
    """
    part, why_not = _validation(opened)
    try:
        with loaded_script(folder) as script, TemporaryDirectory(prefix="copycat-") as images:
            on_files = difference_on_files(script, predictor, write_images(Path(images), size=predictor.size))
            difference = None if part is None else difference_on_pixels(script, predictor, _batches(part))
    except Exception as error:  # of a runtime, or of a network of the user's own: of any kind
        raise UserError(
            f"--format {form}: expected an export that its own script can use; {first_line(error)}."
            " Try another --format."
        ) from error
    if (largest := max(on_files, difference or 0.0)) > MOST:
        raise UserError(
            f"{opened.folder}: expected an export that says the same to {MOST:g}; it differs by {largest:.2g}."
            " Try another --format."
        )
    return Exported(to, difference, on_files, why_not)


def _validation(opened: Opened) -> tuple[Part | None, str]:
    """The validation images, or why they are not there."""
    try:
        return build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"], ""
    except UserError as error:
        return None, str(error)


def _batches(part: Part) -> Iterator[Tensor]:
    for start in range(0, len(part), BATCH):
        yield torch.stack([part.images[place] for place in range(start, min(start + BATCH, len(part)))])


def print_export(run: Opened, form: Format, *, to: Path | None) -> None:
    """Export, and print where it lies and how near it is to the run."""
    done = export(run, form, to=to or run.user_path / "export" / form)
    print_line(done.folder)
    if done.difference is None:
        print_line(f"copycat: not held against the validation images: {done.why_not}", error=True)
    else:
        print_line(f"largest difference on the validation images: {done.difference:.2g}")
    print_line(f"largest difference on {KINDS}: {done.difference_on_files:.2g}")
