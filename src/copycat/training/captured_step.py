"""Capture a training step as a plain list of operations.

The forward pass, the loss and their gradients are traced once. A replay runs the same operations on the same numbers,
without the overhead of modules and of the autograd engine.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import Graph, Node

from copycat.models import losses
from copycat.training.seeds import KNOWN_MODULES, RANDOM_LAYERS

LOSSES = losses.__name__
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_capturable(network: nn.Module, loss: nn.Module, *, known_module: str = LOSSES) -> bool:
    """Return whether each step runs the same operations, and nothing observes them.

    All layers must be known or of `known_module`, draw no random numbers, keep no statistics and have no hooks.
    """
    modules = list(network.modules())
    is_known = all(type(module).__module__.startswith((*KNOWN_MODULES, known_module)) for module in modules)
    is_random = any(isinstance(module, RANDOM_LAYERS) for module in modules)
    has_buffers = any(True for _ in network.buffers())
    has_hooks = any(getattr(module, name) for module in (*modules, loss) for name in HOOKS)
    parameters = list(network.parameters())
    has_parameter_hooks = any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in parameters)
    is_supported = type(loss).__module__ == LOSSES and all(p.is_contiguous() for p in parameters)
    return is_supported and is_known and not (is_random or has_buffers or has_hooks or has_parameter_hooks)


class CapturedStep:
    """Capture a step once for each shape of its arguments, and replay it.

    Args:
        step: takes tensors, returns a tuple of tensors, and changes no other tensor.
        after: steps of each shape before the capture, which takes as long as some hundred small ones.
    """

    def __init__(self, step: Callable[..., Any], *, after: int) -> None:
        """Wrap a step; the first calls of each shape only count."""
        self.step, self.after = step, after
        self._seen: dict[Any, int] = {}
        self._replays: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *tensors: Tensor) -> Any:
        """Return the step's result, detached from autograd; None where there is no capture yet."""
        shapes = tuple([tensor.shape for tensor in tensors])
        replay = self._replays.get(shapes)
        if replay is None:
            self._seen[shapes] = seen = self._seen.get(shapes, 0) + 1
            if seen <= self.after:
                return None
            replay = self._replays[shapes] = _capture(self.step, tensors)
        with torch.no_grad(), suppress(RuntimeError):  # where the replay fails, the step itself may succeed
            return replay(*tensors)
        return None


def _capture(step: Callable[..., Any], tensors: Sequence[Tensor]) -> Callable[..., Any]:
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.enable_grad():
        module = make_fx(lambda *given: step(*given))(*tensors)  # make_fx takes no bound methods
    _remove_repeats(module.graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    replay: Callable[..., Any] = module.forward
    return replay


def _remove_repeats(graph: Graph) -> None:
    """Reuse the results of repeated operations, and remove those that serve autograd alone."""
    operations = [node for node in graph.nodes if isinstance(node.target, OpOverload)]
    if any(node.target._schema.is_mutable for node in operations):  # a result may change before its repeat
        return
    first_nodes: dict[Any, Node] = {}
    for node in operations:
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            continue
        what = (node.target, node.args, tuple(node.kwargs.items()))
        with suppress(TypeError):  # lists cannot be hashed
            if (first := first_nodes.setdefault(what, node)) is not node:
                node.replace_all_uses_with(first)
