"""Summarize an untrained network: its kind, layers with shapes, parameters, FLOPs, memory."""

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.utils.flop_counter import FlopCounterMode

from copycat.models.networks import Normalization, inner_network

BATCH = 2  # number of images in the traced batch, which shapes show as B

HEADER = ("layer", "input", "output", "parameters")
ACTIVATIONS = tuple(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention")
ATTENTION = nn.MultiheadAttention
"""Computes its output by its children's parameters, without a call of them."""
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def network_kind(network: nn.Module, *, loss: str) -> str:
    """Return the lecture's name for the kind of a network, or the name of its class for any other kind.

    The name of the loss's class distinguishes linear from logistic regression.
    """
    leaves = [module for _, module in _leaves(network)]
    if any(isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) for m in leaves):
        return "convolutional network"
    linear = [m for m in leaves if isinstance(m, nn.Linear)]
    if not linear or not all(isinstance(m, (nn.Linear, nn.Flatten, Normalization, *ACTIVATIONS)) for m in leaves):
        return type(inner_network(network)).__name__
    if len(linear) == 1:
        return "linear regression" if loss == "MSE" else "logistic regression"
    hidden = len(linear) - 1
    return "shallow network (one hidden layer)" if hidden == 1 else f"deep network ({hidden} hidden layers)"


def describe_network(network: nn.Module, image: Tensor, *, loss: str) -> str:
    """Return the text that `copycat inspect` prints.

    The network is set to evaluation mode and run once on a batch of BATCH images; on `meta` nothing is computed.
    """
    rows: list[tuple[str, str, str, str]] = []
    held = prod(image.shape[1:]) * image.element_size()

    def look(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal held
        is_leaf = not any(module.children())  # other modules give what one of these gave
        if is_leaf and isinstance(output, Tensor) and not any(_shares_memory(output, given) for given in inputs):
            held += output.numel() * output.element_size() // BATCH
        own = sum(p.numel() for p in module.parameters(recurse=isinstance(module, ATTENTION)))
        label = f"{name} {type(module).__name__}".strip()
        rows.append((label, _shape(inputs[0] if inputs else None), _shape(output), f"{own:,}"))

    handles = [
        module.register_forward_hook(lambda m, inputs, output, name=name: look(name, m, inputs, output))
        for name, module in _layers(network)
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = network.eval()(image)
    for handle in handles:
        handle.remove()

    parameters = list(network.parameters())
    size = sum(p.numel() * p.element_size() for p in parameters)
    counted = "a multiply-add counted as 2; matrix products and convolutions only"
    if any(isinstance(module, EMBEDDINGS) for module in network.modules()):
        counted += ", so no look-ups"
    return "\n".join(
        [
            f"{network_kind(network, loss=loss)}: {_shape(image)} -> {_shape(output)}",
            "",
            *_table(rows),
            "",
            "B: number of images in a batch",
            f"parameter shapes: {[p.shape for p in parameters]}",
            f"parameters: {sum(p.numel() for p in parameters):,}",
            f"FLOPs: {counter.get_total_flops() // BATCH:,} per image (forward pass), {counted}",
            f"memory: {_bytes(size)} of parameters; {_bytes(held)} per image for the input and the outputs of layers",
        ]
    )


def _leaves(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in network.named_modules() if not list(module.children())]


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that the table lists: leaves, attention as a whole, and others with parameters of their own."""
    inside = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, ATTENTION))
    for name, module in network.named_modules():
        if not name.startswith(inside) and (not any(module.children()) or any(True for _ in module.parameters(False))):
            yield name, module


def _shares_memory(output: Tensor, given: Any) -> bool:
    """Return whether an output is a view of an input, such as a flattened image, without memory of its own."""
    return isinstance(given, Tensor) and output.untyped_storage()._cdata == given.untyped_storage()._cdata


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Align the rows under the header, with numbers flush right."""
    lines = [HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([*map(str.ljust, line[:3], widths), line[3].rjust(widths[3])]) for line in lines]


def _shape(value: Any) -> str:
    return " × ".join(["B", *map(str, value.shape[1:])]) if isinstance(value, Tensor) else "–"


def _bytes(count: int) -> str:
    if count < 2**10:
        return f"{count} B"
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"
