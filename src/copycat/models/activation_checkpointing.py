"""Compute activations again in the backward pass, instead of keeping them: less memory, the same bits.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
Buffers = dict[str, Tensor | None]


def checkpoint_activations(network: nn.Module) -> int:
    """Let a network's blocks keep their inputs alone; names of modules and weights stay.

    A block is a module of several layers, such as one of a residual network, or in an nn.Sequential of single layers
    each layer with weights together with the layers up to the next one.

    Returns:
        The number of blocks; with 0 nothing changes.
    """
    is_sequence = type(network) is nn.Sequential
    return sum(map(_mark, [network] if is_sequence else network.children()))


def _mark(module: nn.Module) -> int:
    if _is_layer(module) or not any(True for _ in module.parameters()):
        return 0
    is_sequence = type(module) is nn.Sequential and all(map(_is_layer, module.children()))
    if _holds_blocks(module) or (type(module) in CONTAINERS and not is_sequence):
        return sum(map(_mark, module.children()))
    if not is_sequence:
        _replace_forward(module, _Checkpointed(module.forward, [module]))
        return 1
    parts = [_Part(layers) for layers in _split([*module.children()])]
    steps = [_Checkpointed(part, part.layers) if len(part.layers) > 1 else part for part in parts]
    blocks = sum(isinstance(step, _Checkpointed) for step in steps)
    if blocks:
        _replace_forward(module, _Chain(steps))
    return blocks


def _replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    module.__dict__["forward"] = forward


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _holds_blocks(module: nn.Module) -> bool:
    """Return whether a container inside has several modules that are no single layers."""
    containers = (inner for inner in module.modules() if isinstance(inner, CONTAINERS))
    return any(sum(not _is_layer(child) for child in container.children()) > 1 for container in containers)


def _split(layers: Sequence[nn.Module]) -> Iterator[list[nn.Module]]:
    """Divide layers before each one that has weights, not scales alone as normalizations have."""
    part: list[nn.Module] = []
    for layer in layers:
        if part and any(parameter.ndim > 1 for parameter in layer.parameters()):
            yield part
            part = []
        part.append(layer)
    yield part


class _Part:
    """Call some layers of a sequence."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class _Chain:
    """Call the parts of a sequence, in place of its `forward`."""

    def __init__(self, steps: Sequence[Callable[[Any], Any]]) -> None:
        self.steps = steps

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


class _Checkpointed:
    """Call a block in training so that its activations are computed again, in place of its `forward`."""

    def __init__(self, forward: Callable[..., Any], modules: Sequence[nn.Module]) -> None:
        self.forward = forward
        self.layers = [inner for module in modules for inner in module.modules()]
        # torch stops when it has all that it kept; of RReLU that is its noise, before it is drawn
        self.stops_early = not any(isinstance(layer, nn.RReLU) for layer in self.layers)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (torch.is_grad_enabled() and self.layers[0].training):
            return self.forward(*args, **kwargs)
        call = partial(checkpoint, self.forward, *args, use_reentrant=False, **kwargs)
        # the compiler computes the same operations again, of which updates of statistics are no part
        return call() if torch.compiler.is_compiling() else call(context_fn=self._contexts, early_stop=self.stops_early)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        modes = [layer.training for layer in self.layers]
        buffers = [
            {name: None if value is None else value.clone() for name, value in layer._buffers.items()}
            for layer in self.layers
        ]
        return nullcontext(), self._recomputing(modes, buffers)

    @contextmanager
    def _recomputing(self, modes: Sequence[bool], buffers: Sequence[Buffers]) -> Iterator[None]:
        """Give the layers their modes and buffers of the forward pass, so that no statistics count a batch twice."""
        now = [(layer.training, layer._buffers) for layer in self.layers]
        _restore(self.layers, zip(modes, buffers, strict=True))
        try:
            yield
        finally:
            _restore(self.layers, now)


def _restore(layers: Sequence[nn.Module], states: Iterable[tuple[bool, Buffers]]) -> None:
    for layer, (mode, buffers) in zip(layers, states, strict=True):
        layer.training, layer._buffers = mode, buffers
