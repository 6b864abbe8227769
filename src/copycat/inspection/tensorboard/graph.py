"""Trace a network for the graph that TensorBoard shows."""

import warnings
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard._pytorch_graph import graph

from copycat.training.seeds import KNOWN_MODULES

_graphs: dict[str, Any] = {}
"""Traced graphs of this process, by input shape and layers: the trials of a sweep share them."""
MAX_GRAPHS = 16


def trace_graph(network: nn.Module, image: Tensor) -> Any:
    """Trace a network with one image, drawing no random number and restoring its mode."""
    # the representation of known layers determines their graph, so it can serve as the key
    known = all(type(module).__module__.startswith(KNOWN_MODULES) for module in network.modules())
    key = f"{tuple(image.shape)} {network}" if known else ""
    if key in _graphs:
        return _graphs[key]
    training, like = network.training, next(network.parameters(), image)
    try:
        # torch prints what it cannot trace to standard output, where only a command's result belongs
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # the tracer warns of shapes that it takes for constants
            image = image.to(like, copy=True)  # the first layer may write to it
            # a second trace to compare would double the time
            traced = torch.jit.trace(network.eval(), image, check_trace=False)  # type: ignore[no-untyped-call]
            traced_graph = graph(traced, image)  # type: ignore[no-untyped-call]
    finally:
        network.train(training)
    if key and len(_graphs) < MAX_GRAPHS:
        _graphs[key] = traced_graph
    return traced_graph
