"""A run's network as files that are used without Copycat: safetensors, torch.export or ONNX."""

import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.extras import installing
from copycat.config.hints import first_line
from copycat.data.part import Part
from copycat.deploy.card import card
from copycat.deploy.given import WEIGHTS
from copycat.deploy.predictor import Predictor, Said, opened_predictor
from copycat.deploy.use_scripts import call_of, use_script
from copycat.models import networks
from copycat.runs.build import build_data
from copycat.runs.folder import write_whole
from copycat.runs.opened import Opened, open_run

Format = Literal["safetensors", "torch", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES = {"safetensors": "model.safetensors", "torch": "model.pt2", "onnx": "model.onnx"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")
MOST = 1e-5
"""By which a probability of the exported network may differ."""
NETWORKS = "networks"
"""What the module of Copycat's networks is called beside an export."""
BATCH = 256
"""Images that it is checked on at once."""


@dataclass(frozen=True)
class Exported:
    folder: Path
    difference: float | None
    """The largest, of any probability of any validation image; None where there is nothing to hold it against."""
    why_not: str = ""
    """Why it was not checked."""


def export(run: Path, form: Format, *, to: Path) -> Exported:
    """Write a completed run's network, a model card and a script that uses it.

    Args:
        to: a folder; made if need be.

    Raises:
        UserError: where the run has no final weights, its network cannot be exported so, what comes out says something
            else, or the folder cannot be written to.
    """
    if form == "onnx" and (missing := [name for name in NEEDED if find_spec(name) is None]):
        raise UserError(
            f"--format onnx: expected {', '.join(NEEDED)}; {', '.join(missing)} is not installed."
            f" Type {installing('onnx')}."
        )
    opened = open_run(run)
    with opened_predictor(run) as predictor:
        call, module = _call(predictor, opened) if form == "safetensors" else ("", "")
        try:
            to.mkdir(parents=True, exist_ok=True)
            if module == NETWORKS:  # it imports torch alone
                shutil.copyfile(networks.__file__, to / f"{NETWORKS}.py")
            path = to / FILES[form]
            _write(form, predictor, opened, path)
            part, why_not = _validation(opened)
            difference = None if part is None else _difference(form, path, predictor, part)
            if difference is not None and difference > MOST:
                path.unlink()
                raise UserError(
                    f"{run}: expected an export that says the same to {MOST:g}; it differs by {difference:.2g}."
                    " Try another --format."
                )
            write_whole(to / "README.md", card(opened, form=form, size=predictor.size, difference=difference).encode())
            write_whole(to / "use.py", use_script(form, predictor, call, module).encode())
        except OSError as error:
            raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error
    return Exported(to, difference, why_not)


def _write(form: Format, predictor: Predictor, opened: Opened, path: Path) -> None:
    if form == "safetensors":
        shutil.copyfile(opened.folder / WEIGHTS, path)
        return
    said = Said(predictor.network, predictor.loss).eval()
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
        path.unlink(missing_ok=True)
        raise UserError(
            f"--format {form}: expected a network that torch can export; {first_line(error)}. Try --format safetensors."
        ) from error


def _call(predictor: Predictor, opened: Opened) -> tuple[str, str]:
    """The call that makes the network again, and its module, which lies beside it where it is Copycat's.

    Raises:
        UserError: where it takes more of Copycat than that.
    """
    target = str(opened.config["model"]["_target_"])
    if target.startswith("copycat.") and not target.startswith(f"{networks.__name__}."):
        raise UserError(
            f"--format safetensors: expected a network of {networks.__name__}; got {target}, which takes Copycat."
            " Type --format onnx, or torch."
        )
    shape = [3, predictor.size, predictor.size]
    outputs = type(predictor.loss).out_features(len(predictor.classes))
    derived = {"in_features": 3 * predictor.size**2, "image_shape": shape, "out_features": outputs}
    return call_of(opened.config["model"], derived)


def _validation(opened: Opened) -> tuple[Part | None, str]:
    """The validation images, or why they are not there."""
    try:
        return build_data(opened.config["data"], seed=opened.config["seed"]).parts["val"], ""
    except UserError as error:
        return None, str(error)


def _difference(form: Format, path: Path, predictor: Predictor, part: Part) -> float:
    run = (
        _as_saved(path, predictor) if form == "safetensors" else _as_torch(path) if form == "torch" else _as_onnx(path)
    )
    largest = 0.0
    with torch.no_grad():
        for images in _batches(part):
            largest = max(largest, float((run(images).double() - predictor(images).double()).abs().max()))
    return largest


def _batches(part: Part) -> Iterator[Tensor]:
    for start in range(0, len(part), BATCH):
        yield torch.stack([part.images[place] for place in range(start, min(start + BATCH, len(part)))])


def _as_saved(path: Path, predictor: Predictor) -> Any:
    from safetensors.torch import load_file

    predictor.network.load_state_dict(load_file(path))
    return predictor


def _as_torch(path: Path) -> Any:
    return torch.export.load(path).module()


def _as_onnx(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"image": images.numpy()})[0])


def print_export(run: Path, form: Format, *, to: Path | None) -> None:
    """Export, and print where it lies and how near it is to the run."""
    done = export(run, form, to=to or run / "export" / form)
    print(done.folder)
    if done.difference is None:
        print(f"copycat: not held against the validation images: {done.why_not}", file=sys.stderr)
    else:
        print(f"largest difference on the validation images: {done.difference:.2g}")
