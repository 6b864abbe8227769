"""A network before it trains: its kind, layers with shapes, parameters, FLOPs, memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

BATCH = 2
"""Images in the batch that is traced; shapes show it as B."""


def kind(network: nn.Module, *, loss: str) -> str:
    """Which of the lecture's kinds a network is.

    Args:
        loss: name of the loss's class, which tells linear from logistic regression.
    """
    if any(isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) for m in network.modules()):
        return "convolutional network"
    layers = sum(isinstance(m, nn.Linear) for m in network.modules())
    if layers == 1:
        return "linear regression" if loss == "MSE" else "logistic regression"
    if layers == 2:
        return "shallow network (one hidden layer)"
    return f"deep network ({layers - 1} hidden layers)" if layers else type(network).__name__


def describe(network: nn.Module, image: Tensor, *, loss: str) -> str:
    """The page that `copycat inspect` prints.

    Args:
        image: a batch of images on the network's device; meta does, and costs nothing.
    """
    rows: list[tuple[str, str, str, str]] = []
    numbers = {name: sum(p.numel() for p in m.parameters(recurse=False)) for name, m in network.named_modules()}
    held = 0

    def seen(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal held
            held += output.numel() * output.element_size() // BATCH
            rows.append((f"{name} {type(module).__name__}", _shape(inputs[0]), _shape(output), f"{numbers[name]:,}"))

        return hook

    leaves = [(name, m) for name, m in network.named_modules() if not list(m.children())]
    handles = [module.register_forward_hook(seen(name or "network", module)) for name, module in leaves]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = network.eval()(image)
    for handle in handles:
        handle.remove()

    parameters = sum(p.numel() for p in network.parameters())
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    header = ("layer", "input", "output", "parameters")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(4)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join(
        [
            f"{kind(network, loss=loss)}: {_shape(image)} -> {_shape(output)}",
            "",
            *table,
            "",
            f"parameter shapes: {[p.shape for p in network.parameters()]}",
            f"parameters: {parameters:,}",
            f"FLOPs: {counter.get_total_flops() // BATCH:,} an image forward",
            f"memory: {_bytes(size)} of parameters, {_bytes(held)} of activations an image",
        ]
    )


def _shape(value: Any) -> str:
    return " × ".join(["B", *map(str, value.shape[1:])]) if isinstance(value, Tensor) else "–"


def _bytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"
