"""Run a graph of operations with little overhead."""

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any
from weakref import ref

from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Graph, Node
from torch.utils._pytree import tree_leaves


class Replay:
    """Run the operations of a step; those that depend on its inputs alone once for the same inputs."""

    def __init__(self, prepare: Callable[..., Any], run: Callable[..., Any]) -> None:
        """`prepare` takes the inputs, `run` these and what `prepare` returns."""
        self.prepare, self.run = prepare, run
        self._last: list[tuple[Any, float]] = []  # inputs of the last call, and their versions
        self._prepared: Any = None

    def __call__(self, *tensors: Tensor) -> Any:
        """Return the step's results."""
        pairs = zip(self._last, tensors, strict=False)
        if self._last and all(seen() is tensor and version == _version(tensor) for (seen, version), tensor in pairs):
            if self._prepared is None:
                self._prepared = self.prepare(*tensors)
            return self.run(*tensors, *self._prepared)
        self._last = [(ref(tensor), _version(tensor)) for tensor in tensors]
        self._prepared = None  # not kept of a batch that does not come again
        return self.run(*tensors, *self.prepare(*tensors))


def _version(tensor: Tensor) -> float:
    """Return a number that each change increases; of a tensor that counts none, one that equals no other."""
    return nan if tensor.is_inference() else tensor._version


def make_replay(graph: Graph, constants: Mapping[str, Tensor], *, prepares: bool) -> Replay:
    """Return a function that runs a graph.

    Args:
        graph: of operations whose inputs are tensors.
        constants: tensors by the names that the graph has for them.
        prepares: whether to run operations that depend on the inputs alone once for the same inputs; the graph must
            have no operation that changes a tensor.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    prepared = _find_prepared(graph) if prepares else []
    used = [node for node in prepared if any(user not in prepared for user in node.users)]
    rest = [node for node in graph.nodes if node.op in ("call_function", "get_attr") and node not in prepared]
    code = _Code(constants)
    prepare = code.compile(prepared, inputs, tuple(used))
    return Replay(prepare, code.compile(rest, [*inputs, *used], graph.output_node().args[0]))


def _find_prepared(graph: Graph) -> list[Node]:
    """Return the operations that depend on the inputs alone."""
    found: list[Node] = []
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "call_function" and inputs and all(i.op == "placeholder" or i in found for i in inputs):
            found.append(node)
    return found


class _Code:
    """Write functions that run operations, with less overhead than a `GraphModule`: a quarter of a small step.

    They call an overload's operation itself, and drop each result after its last use.
    """

    def __init__(self, constants: Mapping[str, Tensor]) -> None:
        self.constants = constants
        self.scope: dict[str, Any] = {}

    def compile(self, nodes: Sequence[Node], inputs: Sequence[Node], results: Any) -> Callable[..., Any]:
        """Return a function of the values of `inputs` that runs the nodes, and returns `results`."""
        last_uses = {used: node for node in nodes for used in node.all_input_nodes}
        kept = set(tree_leaves(results))
        lines = [f"def run({', '.join(node.name for node in inputs)}):"]
        for node in nodes:
            if node.op == "get_attr":
                self.scope[node.name] = self.constants[str(node.target)]
                continue
            call = self.write(node.target._op if isinstance(node.target, OpOverload) else node.target)
            words = [*map(self.write, node.args), *(f"{key}={self.write(value)}" for key, value in node.kwargs.items())]
            lines.append(f"{node.name} = {call}({', '.join(words)})")
            unused = [used for used in node.all_input_nodes if last_uses[used] is node and used not in kept]
            lines += [f"del {used.name}" for used in unused if used.op != "get_attr"]
        exec("\n    ".join([*lines, f"return {self.write(results)}"]), self.scope)
        run: Callable[..., Any] = self.scope["run"]
        return run

    def write(self, value: Any) -> str:
        """Return the code of an argument."""
        if isinstance(value, Node):
            return value.name
        if isinstance(value, tuple | list):
            inner = "".join(f"{self.write(each)}, " for each in value)
            return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
        self.scope[name := f"value_{len(self.scope)}"] = value
        return name
