"""The formats of exports: their files, what they need, and how near to the run they must be. Imports nothing heavy."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from copycat.config.errors import UserError
from copycat.config.extras import install_command
from copycat.config.places import cache_folder
from copycat.config.suggestions import one_of

Format = Literal["safetensors", "torch", "aotinductor", "onnx", "int8", "openvino", "web"]


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """Describe a format."""

    file: str
    """The file of the network."""
    content: str
    """A sentence on the file, for the card."""
    needs: str
    """Packages that its script needs, for the card."""
    writing: str
    """Line about the step that writes the network."""
    packages: Sequence[str] = ()
    """Packages that write it."""
    extra: str = ""
    """The extra that installs them."""
    programs: Sequence[str] = ()
    """Programs of which it takes one."""
    hint: str = ""
    """How to get one."""
    cached: str = ""
    """The file in the cache that what they bring is kept in."""
    tolerance: float = 1e-5
    """Largest accepted difference between probabilities of the export and of the run."""
    is_rounded: bool = False
    """Whether the difference that is accepted is the mean one, as single images may differ by more."""
    precisions: tuple[str, ...] = ("float64", "float32", "bfloat16", "float16", "complex64", "complex128")
    """Precisions of weights that it holds as they are, or that are exported in float32."""


ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TRACING_ONNX = "loading the ONNX exporter and tracing the network, which takes longest the first time"
COMPILERS = ("g++", "clang++", "c++", "cl")
"""C++ compilers, of which AOTInductor takes one."""
WEB_RUNTIME = "onnxruntime-web-1.30.0.tgz"
FLOATS = ("float64", "float32")
FORMATS: Mapping[Format, ExportFormat] = {
    "safetensors": ExportFormat(
        file="model.safetensors",
        content="model.safetensors has the weights; networks.py, where it lies here, makes the network of them.",
        needs="NumPy, Pillow, PyTorch and safetensors",
        writing="writing the weights",
    ),
    "torch": ExportFormat(
        file="model.pt2",
        content="model.pt2 is a torch.export program: `torch.export.load`.",
        needs="NumPy, Pillow and PyTorch",
        writing="tracing the network by torch.export",
    ),
    "aotinductor": ExportFormat(
        file="model.pt2",
        content="model.pt2 is compiled machine code: `torch._inductor.aoti_load_package`.",
        needs="NumPy, Pillow and the PyTorch named below",
        writing="tracing the network and compiling it by AOTInductor, which takes up to a minute",
        programs=COMPILERS,
        hint="Install one, such as Debian's g++, or type --format torch.",
    ),
    "onnx": ExportFormat(
        file="model.onnx",
        content="model.onnx runs by any ONNX runtime.",
        needs="NumPy, Pillow and onnxruntime",
        writing=TRACING_ONNX,
        packages=ONNX_PACKAGES,
        extra="onnx",
        precisions=FLOATS,
    ),
    "int8": ExportFormat(
        file="model.onnx",
        content="model.onnx computes in 8 bits (QDQ) and runs by any ONNX runtime.",
        needs="NumPy, Pillow and onnxruntime",
        writing=TRACING_ONNX,
        packages=ONNX_PACKAGES,
        extra="onnx",
        tolerance=0.05,
        is_rounded=True,
        precisions=FLOATS,
    ),
    "openvino": ExportFormat(
        file="model.xml",
        content="model.xml, with its weights in model.bin, is an OpenVINO model, which use.py computes in float32.",
        needs="NumPy, Pillow and openvino",
        writing="tracing the network and converting it by OpenVINO",
        packages=("openvino",),
        extra="openvino",
        precisions=FLOATS,
    ),
    "web": ExportFormat(
        file="model.onnx",
        programs=("npm",),
        cached=WEB_RUNTIME,
        hint="Install Node.js, which brings it, or type --format onnx.",
        content="index.html classifies images in a browser, without a network; it holds all that it needs.",
        needs="NumPy, Pillow and onnxruntime",
        writing=TRACING_ONNX,
        packages=ONNX_PACKAGES,
        extra="onnx",
        precisions=FLOATS,
    ),
}


def check_format(form: Format) -> None:
    """Check that what writes a format is installed.

    Raises:
        UserError: where it is not.
    """
    kind = FORMATS[form]
    if missing := [name for name in kind.packages if find_spec(name) is None]:
        raise UserError(
            f"--format {form}: expected {', '.join(kind.packages)}; {', '.join(missing)} is not installed."
            f" Type {install_command(kind.extra)}."
        )
    if kind.cached and (cache_folder() / kind.cached).is_file():
        return
    named = os.environ.get("CXX") if kind.programs == COMPILERS else None
    if kind.programs and not any(shutil.which(name) for name in (*([named] if named else []), *kind.programs)):
        raise UserError(f"--format {form}: expected {one_of(kind.programs)}; found none. {kind.hint}")
