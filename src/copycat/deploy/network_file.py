"""Write a network for use without Copycat, in one file: safetensors, torch.export or ONNX."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.deploy.predictor import Predictor
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened

Format = Literal["safetensors", "torch", "onnx"]
FILES: Mapping[Format, str] = {"safetensors": "model.safetensors", "torch": "model.pt2", "onnx": "model.onnx"}


def write_network(form: Format, predictor: Predictor, opened: Opened, path: Path) -> None:
    """Write a run's network.

    Raises:
        UserError: where torch cannot export it in this format.
    """
    if form == "safetensors":
        shutil.copyfile(opened.folder / WEIGHTS, path)
        return
    network = _onnx_network(predictor) if form == "onnx" else predictor.network
    module = replace(predictor, network=network).module.eval()
    example = torch.zeros(2, 3, predictor.size, predictor.size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with _muted_exporters():
            program = torch.export.export(module, (example,), dynamic_shapes={"image": {0: batch}}, strict=False)
            if form == "torch":
                torch.export.save(program, path)
            else:
                torch.onnx.export(program, (), path, dynamo=True, external_data=False, verbose=False)
    except Exception as error:  # a user's own network may raise anything
        raise UserError(
            f"--format {form}: expected a network that torch can export; {first_line(error)}. Try --format safetensors."
        ) from error


@contextmanager
def _muted_exporters() -> Iterator[None]:
    """Mute the exporters' warnings, which are of their own internals and of torchvision."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registration.setLevel(level)


def _onnx_network(predictor: Predictor) -> torch.nn.Module:
    """Return the network in float32, for which ONNX runtimes have all operators; refuse one of lower precision."""
    dtypes = {tensor.dtype for tensor in predictor.network.parameters()}
    if half := dtypes & {torch.bfloat16, torch.float16}:
        raise UserError(
            f"--format onnx: expected weights of 32 or 64 bit; got {str(half.pop()).removeprefix('torch.')}, which ONNX"
            " runtimes do not compute as torch does. Type --format safetensors, or torch."
        )
    return deepcopy(predictor.network).float() if torch.float64 in dtypes else predictor.network
