"""Capture a training step as a plain list of operations.

The forward pass, the loss and their gradients are traced once. A replay runs the same operations on the same numbers,
without the overhead of modules and of the autograd engine.
"""

import operator
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import Graph, Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from copycat.models import losses
from copycat.models.networks import Normalization
from copycat.training.replay import Replay, make_replay
from copycat.training.seeds import KNOWN_MODULES, RANDOM_LAYERS

LOSSES = losses.__name__
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_capturable(network: nn.Module, loss: nn.Module, *, known_module: str = LOSSES) -> bool:
    """Return whether each step runs the same operations, and nothing observes them.

    All layers must be known or of `known_module`, draw no random numbers, keep no statistics, and have no hooks and no
    `forward` of their own, as activation checkpointing gives them.
    """
    modules = list(network.modules())
    is_known = all(type(module).__module__.startswith((*KNOWN_MODULES, known_module)) for module in modules)
    is_random = any(isinstance(module, RANDOM_LAYERS) for module in modules)
    has_buffers = any(True for m in modules if not isinstance(m, Normalization) for _ in m.buffers(recurse=False))
    is_observed = has_hooks(network) or has_hooks(loss) or any("forward" in vars(module) for module in modules)
    is_supported = type(loss).__module__ == LOSSES and all(p.is_contiguous() for p in network.parameters())
    return is_supported and is_known and not (is_random or has_buffers or is_observed)


def has_hooks(network: nn.Module) -> bool:
    """Return whether a module has hooks, or a parameter has hooks on its gradient."""
    if any(getattr(module, name) for module in network.modules() for name in HOOKS):
        return True
    return any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in network.parameters())


class CapturedStep:
    """Capture a step once for each shape of its arguments, and replay it.

    Args:
        step: takes tensors, returns a tuple of tensors, and changes no other tensor.
        after: steps of each shape before the capture, which takes as long as some hundred small ones.
        has_gradients: whether the step computes gradients.
    """

    def __init__(self, step: Callable[..., Any], *, after: int, has_gradients: bool = True) -> None:
        """Wrap a step; the first calls of each shape only count."""
        self.step, self.after, self.has_gradients = step, after, has_gradients
        self._seen: dict[Any, int] = {}
        self._replays: dict[Any, Replay] = {}

    def __call__(self, *tensors: Tensor) -> Any:
        """Return the step's result, detached from autograd; None where there is no capture yet."""
        shapes = tuple([tensor.shape for tensor in tensors])
        replay = self._replays.get(shapes)
        if replay is None:
            self._seen[shapes] = seen = self._seen.get(shapes, 0) + 1
            if seen <= self.after:
                return None
            replay = self._replays[shapes] = _capture(self.step, tensors, self.has_gradients)
        with torch.no_grad():
            try:
                return replay(*tensors)
            except RuntimeError:  # the step itself may succeed
                return None


def _capture(step: Callable[..., Any], tensors: Sequence[Tensor], has_gradients: bool) -> Replay:
    with torch.set_grad_enabled(has_gradients), _OperationRecorder(tensors) as recorder:
        results = step(*tensors)
    graph = recorder.graph
    graph.output(recorder.find_nodes(results))
    is_pure = not any(node.target._schema.is_mutable for node in graph.nodes if isinstance(node.target, OpOverload))
    if is_pure:  # otherwise a result may change before it is used again
        _remove_repeats(graph)
    graph.eliminate_dead_code()
    return make_replay(graph, recorder.constants, prepares=is_pure)


class _OperationRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Record the operations that torch runs, those of the backward pass too.

    `torch.fx.experimental.proxy_tensor.make_fx` records the same ones in ten times the time: it derives shapes as well.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph()
        self.constants: dict[str, Tensor] = {}  # parameters, and what else the operations read
        self._seen: list[Tensor] = []  # kept, or another tensor might take over the identity
        self._nodes: dict[int, Node] = {}
        for place, tensor in enumerate(inputs):
            self._add(tensor, self.graph.placeholder(f"input_{place}"))

    def _add(self, tensor: Tensor, node: Node) -> None:
        self._seen.append(tensor)
        self._nodes[id(tensor)] = node

    def _find_node(self, tensor: Tensor) -> Node:
        if id(tensor) not in self._nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = tensor
            self._add(tensor, self.graph.get_attr(name))
        return self._nodes[id(tensor)]

    def find_nodes(self, arguments: Any) -> Any:
        """Return the arguments with nodes in place of tensors."""
        return tree_map_only(Tensor, self._find_node, arguments)

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.data_dependent_output in func.tags:
            raise RuntimeError(f"{func}: expected an operation whose result is a tensor; its result depends on numbers")
        kwargs = kwargs or {}
        node = self.graph.call_function(func, self.find_nodes(args), self.find_nodes(kwargs))
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            self._add(result, node)
        elif isinstance(result, tuple | list):
            for place, tensor in enumerate(result):
                self._add(tensor, self.graph.call_function(operator.getitem, (node, place)))
        return result


def _remove_repeats(graph: Graph) -> None:
    """Reuse the results of repeated operations, and remove those that serve autograd alone."""
    first_nodes: dict[Any, Node] = {}
    for node in [node for node in graph.nodes if isinstance(node.target, OpOverload)]:
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            continue
        what = (node.target, node.args, tuple(node.kwargs.items()))
        with suppress(TypeError):  # lists cannot be hashed
            if (first := first_nodes.setdefault(what, node)) is not node:
                node.replace_all_uses_with(first)
