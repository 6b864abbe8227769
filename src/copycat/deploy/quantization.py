"""Static quantization of an ONNX model to 8 bits, calibrated on images."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line

OPERATORS = ("Conv", "MatMul", "Gemm")
"""Operators that are nearly all of the work."""
BETWEEN = ("Add", "Clip", "Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool")
"""Operators between them, which runtimes fuse with them. Others, probabilities among them, stay in 32 bits."""
BATCH = 16


def quantize(path: Path, images: Sequence[Tensor]) -> None:
    """Replace an ONNX model by one with quantized weights and activations, by quantize and dequantize nodes (QDQ).

    Weights are quantized by channel; ranges of activations are those of the images, uint8 [3, size, size].

    Raises:
        UserError: where onnxruntime cannot quantize the model, or finds nothing in it to quantize.
    """
    try:
        with _muted(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = _quantize(path, images)
    except Exception as error:  # the quantizer raises anything, for operators that it does not know
        raise UserError(
            f"--format int8: expected a network that onnxruntime can quantize; {first_line(error)}. Type --format onnx."
        ) from error
    if not nodes:
        raise UserError(
            f"--format int8: expected a network with one of {', '.join(OPERATORS)}; got nothing to quantize."
            " Type --format onnx."
        )


def _quantize(path: Path, images: Sequence[Tensor]) -> int:
    """Quantize a model; return the number of its quantize nodes."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        """Give the images in batches."""

        def __init__(self) -> None:
            self.batches = _batches(images)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    prepared = path.with_name("prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Images(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*OPERATORS, *BETWEEN],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # a logit in 8 bits would give a probability in 8 bits
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    prepared.unlink()
    return sum(node.op_type == "QuantizeLinear" for node in onnx.load(path).graph.node)


def _batches(images: Sequence[Tensor]) -> Iterator[dict[str, NDArray[np.uint8]]]:
    for start in range(0, len(images), BATCH):
        yield {"image": np.stack([image.numpy() for image in images[start : start + BATCH]])}


@contextmanager
def _muted() -> Iterator[None]:
    """Mute what the quantizer logs, which is advice to its own users."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
