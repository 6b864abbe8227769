"""Runs of a process share a network's graph where all that determines it is equal."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from copycat.inspection.tensorboard import graph
from copycat.inspection.tensorboard.graph import trace_graph


class Scaled(nn.Module):
    """A network of a user's, which may decide by its numbers, by an attribute or at random."""

    shift: Tensor

    def __init__(self, *, weight: float = 1.0, doubles: bool = False, draws: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.register_buffer("shift", torch.zeros(()), persistent=False)
        self.doubles, self.draws = doubles, draws

    def forward(self, x: Tensor) -> Tensor:
        if self.weight < 0 or self.shift > 0 or x.sum() > 10 or (self.draws and torch.rand(()) < 0.5):
            x = x.sin()
        return x * self.weight * 2 if self.doubles else x * self.weight


class Mapped(Scaled):
    """The same, with an attribute whose content is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.names = {"a": 1}


IMAGE = torch.ones(1, 1, 2, 2)
CHANGES: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "weight": lambda: (Scaled(weight=-1.0), IMAGE),
    "attribute": lambda: (Scaled(doubles=True), IMAGE),
    "image": lambda: (Scaled(), 9 * IMAGE),
    "buffer": lambda: (_shifted(), IMAGE),
    "hook": lambda: (_hooked(), IMAGE),
}


def _shifted() -> nn.Module:
    network = Scaled()
    network.shift = torch.ones(())
    return network


def _hooked() -> nn.Module:
    network = Scaled()
    network.register_forward_hook(lambda module, inputs, output: output.cos())
    return network


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_graphs", {})


def operations(network: nn.Module, image: Tensor = IMAGE) -> list[str]:
    """Return the operations in a network's graph."""
    definition, _ = trace_graph(network, image)
    return sorted(node.op for node in definition.node)


def test_an_equal_network_has_the_graph_of_the_first() -> None:
    assert trace_graph(Scaled(), IMAGE) is trace_graph(Scaled(), IMAGE.clone())


@pytest.mark.parametrize("name", CHANGES)
def test_another_network_has_its_own_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = operations(Scaled())
    network, image = CHANGES[name]()
    shared = operations(network, image)
    monkeypatch.setattr(graph, "_graphs", {})
    assert shared == operations(network, image) != first


def test_a_random_network_has_the_graph_of_its_draws() -> None:
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        found.append("aten::sin" in operations(Scaled(draws=True)))
    assert len(set(found)) == 2


def test_a_network_with_unknown_attributes_is_traced_each_time() -> None:
    assert trace_graph(Mapped(), IMAGE) is not trace_graph(Mapped(), IMAGE)
