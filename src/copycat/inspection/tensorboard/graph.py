"""Trace a network for the graph that TensorBoard shows."""

import hashlib
import warnings
from collections.abc import Hashable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard._pytorch_graph import graph

from copycat.models.network_input import to_input
from copycat.training.seeds import KNOWN_MODULES

_graphs: dict[Hashable, Any] = {}
"""Traced graphs of this process, by what determines them: the trials of a sweep share them."""
MAX_GRAPHS = 16
MAX_HASHED = 2**20
"""Numbers of a network's weights at most that are part of a key: beyond, hashing them is slow as well."""
_INHERITED = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, type(None))


def trace_graph(network: nn.Module, image: Tensor) -> Any:
    """Trace a network with one image, drawing no random number and restoring its mode."""
    key = _graph_key(network, image)
    if key in _graphs:
        return _graphs[key]
    training = network.training
    try:
        # torch prints what it cannot trace to standard output, where only a command's result belongs
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # the tracer warns of shapes that it takes for constants
            image = to_input(image, network).clone()  # the first layer may write to it
            # a second trace to compare would double the time
            traced = torch.jit.trace(network.eval(), image, check_trace=False)  # type: ignore[no-untyped-call]
            traced_graph = graph(traced, image)  # type: ignore[no-untyped-call]
    finally:
        network.train(training)
    if key is not None and len(_graphs) < MAX_GRAPHS:
        _graphs[key] = traced_graph
    return traced_graph


def _graph_key(network: nn.Module, image: Tensor) -> Hashable:
    """Return a key that determines a network's graph; None where none is known.

    The representation of known layers determines their graph. The code of other ones may decide by any attribute, by
    the numbers of weights and image, and by random ones.
    """
    modules = dict(network.named_modules())
    if all(type(module).__module__.startswith(KNOWN_MODULES) for module in modules.values()):
        return f"{tuple(image.shape)} {network}"
    tensors = dict(network.state_dict(keep_vars=True), **{" image": image, " random": torch.random.get_rng_state()})
    tensors |= dict(network.named_buffers())  # some are not in the state
    own = [(path, type(module), *_attributes(module)) for path, module in modules.items()]
    is_plain = all(isinstance(value, _PLAIN) for _, _, *attributes in own for _, value in attributes)
    if not is_plain or sum(tensor.numel() for tensor in tensors.values()) > MAX_HASHED:
        return None
    numbers = [(name, tensor.dtype, tensor.shape, _digest(tensor)) for name, tensor in tensors.items()]
    return (*own, *numbers)


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Return the attributes of a module's own class, and its hooks, which run code too."""
    for name, value in vars(module).items():
        if name not in _INHERITED:
            yield name, value
        elif name.endswith("_hooks") and value:
            yield name, ()


def _digest(tensor: Tensor) -> bytes:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(numbers.numpy().tobytes()).digest()
