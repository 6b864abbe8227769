"""Write a network for use without Copycat, in each format of an export."""

import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import replace
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.deploy.export_formats import FORMATS, Format
from copycat.deploy.predictor import Predictor
from copycat.deploy.quantization import quantize
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened

EXPORT_LOGGERS = ("torch.onnx._internal.exporter._registration", "torch.fx.experimental.symbolic_shapes")


def write_network(
    form: Format, predictor: Predictor, opened: Opened, folder: Path, *, calibration: Sequence[Tensor] = ()
) -> None:
    """Write a run's network; the images to calibrate on are those of `int8`.

    Raises:
        UserError: where the network cannot be exported in this format.
    """
    path = folder / FORMATS[form].file
    if form == "safetensors":
        shutil.copyfile(opened.folder / WEIGHTS, path)
        return
    module = replace(predictor, network=_as_floats(form, predictor)).module.eval()
    example = torch.zeros(2, 3, predictor.size, predictor.size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with _muted_exporters():
            program = torch.export.export(module, (example,), dynamic_shapes={"image": {0: batch}}, strict=False)
            _write_program(form, program, path)
    except Exception as error:  # a user's own network may raise anything
        raise UserError(
            f"--format {form}: expected a network that torch can export; {first_line(error)}. Try --format safetensors."
        ) from error
    if form == "int8":
        quantize(path, calibration)


def _write_program(form: Format, program: torch.export.ExportedProgram, path: Path) -> None:
    match form:
        case "torch":
            torch.export.save(program, path)
        case "aotinductor":
            from torch._inductor import aoti_compile_and_package, config

            # one network needs no pool of processes, and no compiled headers, which take as long as the network
            with config.patch({"compile_threads": 1, "aot_inductor.precompile_headers": False}):
                aoti_compile_and_package(program, package_path=str(path))
        case "openvino":
            with _without_telemetry():
                import openvino.tools.ovc
            openvino.save_model(openvino.convert_model(program), path, compress_to_fp16=False)
        case _:
            torch.onnx.export(program, (), path, dynamo=True, external_data=False, verbose=False)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep OpenVINO's converter, as it is imported, from what would report its use to Google Analytics."""
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


@contextmanager
def _muted_exporters() -> Iterator[None]:
    """Mute the exporters' warnings, of their internals and of torchvision, and the graph of a network they refuse."""
    levels = {logger: logger.level for logger in map(logging.getLogger, EXPORT_LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _as_floats(form: Format, predictor: Predictor) -> torch.nn.Module:
    """Return the network in a precision that the format holds: runtimes of ONNX have all operators in float32."""
    dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in predictor.network.parameters()}
    if half := dtypes - {*FORMATS[form].precisions}:
        raise UserError(
            f"--format {form}: expected weights of 32 or 64 bit; got {half.pop()}, which its runtimes do not compute as"
            " torch does. Type --format safetensors, or torch."
        )
    if FORMATS[form].packages and "float64" in dtypes:
        return deepcopy(predictor.network).float()
    return predictor.network
