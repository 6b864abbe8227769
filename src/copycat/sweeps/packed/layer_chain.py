"""Read a network as a chain of linear layers and elementwise ones, which a pack can pad to another width."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import fx, nn

from copycat.training.captured_step import HOOKS

ELEMENTWISE_LAYERS = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU),
    *(nn.LogSigmoid, nn.Mish, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink),
    *(nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold),
)
"""Layers without parameters that compute each number by itself."""


@dataclass(frozen=True)
class Chain:
    """Hold the layers of a network behind the flattened image, in order, with their names; the first is linear."""

    names: Sequence[str]
    layers: Sequence[nn.Module]

    @property
    def linear(self) -> list[tuple[str, nn.Linear]]:
        """Return the linear layers, with their names."""
        return [(name, x) for name, x in zip(self.names, self.layers, strict=True) if isinstance(x, nn.Linear)]

    @property
    def kind(self) -> str:
        """Return a description that is equal for chains that differ in widths alone."""
        kinds = ["Linear" if isinstance(layer, nn.Linear) else repr(layer) for layer in self.layers]
        return repr(list(zip(self.names, kinds, strict=True)))

    def of(self, network: nn.Module) -> "Chain":
        """Return the chain of another network of the same kind."""
        return Chain(self.names, [network.get_submodule(name) for name in self.names])


def read_chain(network: nn.Module) -> Chain | None:
    """Return the chain that a network is; None where it is another one, or where torch.fx cannot tell."""
    has_hooks = any(getattr(module, name) for module in network.modules() for name in HOOKS)
    if has_hooks or any(True for _ in network.buffers()) or not all(p.requires_grad for p in network.parameters()):
        return None
    try:
        nodes = list(fx.symbolic_trace(network).graph.nodes)
    except Exception:  # a user's network may raise anything
        return None
    modules = dict(network.named_modules())
    follows = all(list(b.all_input_nodes) == [a] for a, b in pairwise(nodes))
    if len(nodes) < 4 or not follows or not _flattens(nodes[1], modules):
        return None
    names = [str(node.target) for node in nodes[2:-1] if node.op == "call_module"]
    layers = [modules[name] for name in names]
    if len(names) != len(nodes) - 3 or len(set(map(id, layers))) != len(layers):
        return None
    return Chain(names, layers) if isinstance(layers[0], nn.Linear) and all(map(_can_be_padded, layers)) else None


def _flattens(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_method":
        return node.target == "flatten" and tuple(node.args[1:]) == (1,) and not node.kwargs
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    return type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)


def _can_be_padded(layer: nn.Module) -> bool:
    if type(layer) is nn.Linear:
        return layer.bias is not None
    return type(layer) in (*ELEMENTWISE_LAYERS, nn.Dropout) and not getattr(layer, "inplace", False)
