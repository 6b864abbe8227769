"""Stacks of unlike networks agree with single networks up to rounding, and padding never shows."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copycat.models.losses import BCE
from copycat.models.networks import mlp
from copycat.sweeps.packed.layer_chain import read_chain
from copycat.sweeps.packed.optimizer import ELEMENTWISE, JointOptimizer, Trainable
from copycat.sweeps.packed.unlike_network import UnlikeNetwork, stack_networks
from copycat.training.lazy_scheduler import LazyScheduler
from tests.support.parameters import mark_slow

CPU = torch.device("cpu")
HIDDEN: Sequence[Sequence[int]] = ([], [3], [8], [5, 2], [2, 5], [7, 4, 3])
ACTIVATIONS = nn.Sigmoid, nn.Tanh
FAST = [torch.optim.SGD, torch.optim.AdamW]


def make_networks(
    inputs: int = 12, *, hidden_layers: Sequence[Sequence[int]] = HIDDEN, activations: Sequence[Any] = ACTIVATIONS
) -> list[nn.Module]:
    """Make networks of unlike widths and depths, those of one kind of chain together."""
    networks = list[nn.Module]()
    for activation in activations:
        for number, hidden in enumerate(hidden_layers):
            torch.manual_seed(number)
            networks.append(
                mlp(style="subclass", in_features=inputs, hidden=hidden, out_features=1, activation=activation)
            )
    return sorted(networks, key=chain_kind)


def chain_kind(network: nn.Module) -> str:
    chain = read_chain(network)
    assert chain is not None
    return chain.kind


def train_alone(
    network: nn.Module, optimizer: torch.optim.Optimizer, image: Tensor, label: Tensor, *, seed: int
) -> None:
    for step in range(6):
        torch.manual_seed(100 * seed + step)
        optimizer.zero_grad()
        BCE()(network(image), label).backward()
        optimizer.step()


def make_trainable(network: nn.Module, optimizer: torch.optim.Optimizer, config: Any = None) -> Trainable:
    schedule = LazyScheduler(torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0))
    return Trainable(network, optimizer, schedule, config=config, chain_kind=chain_kind(network))


def train_together(
    networks: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    image: Tensor,
    label: Tensor,
    *,
    images: Tensor | None = None,
) -> UnlikeNetwork:
    """Train networks as one; after three steps a stack is made anew."""
    trials = [make_trainable(*each) for each in zip(networks, optimizers, strict=True)]
    kinds = [trial.chain_kind for trial in trials]
    states: list[dict[str, Tensor]] = [{} for _ in networks]
    losses = [BCE() for _ in networks]
    stack = stack_networks(networks, losses, kinds=kinds, device=CPU, images=images, states=states)
    joint = JointOptimizer(trials, stack, like=lambda: copy.deepcopy(optimizers[0]))
    for step in range(6):
        stack.streams.seed([100 * place + step for place in range(len(networks))])
        *_, gradients = stack.step(image, label, shared=image.ndim == 4)
        joint.step(gradients)
        if step == 2:
            for place in range(len(networks)):
                joint.sync(place)
            stack = stack.keep(range(len(networks)))
            joint.set_trials(trials, stack)
    for place in range(len(networks)):
        joint.sync(place)
    assert isinstance(stack, UnlikeNetwork)
    return stack


@pytest.mark.parametrize("kind", mark_slow({kind: kind for kind in ELEMENTWISE}, fast=FAST))
def test_unlike_networks_train_together_as_each_does_alone(kind: Any) -> None:
    image, label = torch.rand(16, 3, 2, 2), torch.arange(16) % 2
    settings = {"lr": 0.01, "weight_decay": 0.0 if kind is torch.optim.Rprop else 0.1}
    if kind is torch.optim.Rprop:
        del settings["weight_decay"]
    alone, packed = make_networks(), make_networks()
    theirs, ours = [[kind(network.parameters(), **settings) for network in each] for each in (alone, packed)]
    for place, (network, optimizer) in enumerate(zip(alone, theirs, strict=True)):
        train_alone(network, optimizer, image, label, seed=place)
    stack = train_together(packed, ours, image, label)
    for one, other, single, joint in zip(alone, packed, theirs, ours, strict=True):
        torch.testing.assert_close(other.state_dict(), one.state_dict(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(joint.state_dict()["state"], single.state_dict()["state"], rtol=1e-4, atol=1e-6)
    for number, group in enumerate(stack.groups):
        for name, shape in group.shapes.items():
            own = torch.zeros(shape)
            for place in range(group.start, group.start + group.count):
                home = stack.locate(name, place)
                home.view(own)[...] = 1
            assert not stack.parameters[f"{number}.{name}"][own == 0].any(), name


def test_unlike_networks_with_images_of_their_own_and_dropout_train_as_each_does_alone() -> None:
    count = len(HIDDEN)
    image, label = torch.rand(count, 16, 3, 2, 2), torch.randint(0, 2, (count, 16))

    def make() -> list[nn.Module]:
        networks = list[nn.Module]()
        for number, hidden in enumerate(HIDDEN):
            torch.manual_seed(number)
            layers, widths = list[nn.Module]([nn.Flatten()]), [12, *hidden, 1]
            for place, width in enumerate(hidden):
                layers += [nn.Linear(widths[place], width), nn.GELU(), nn.Dropout(0.4)]
            networks.append(nn.Sequential(*layers, nn.Linear(widths[-2], 1)))
        return sorted(networks, key=chain_kind)

    alone, packed = make(), make()
    rates = [0.01 + 0.01 * (place % 2) for place in range(count)]
    for place, network in enumerate(alone):
        train_alone(
            network,
            torch.optim.Adam(network.parameters(), lr=rates[place], weight_decay=0.1),
            image[place],
            label[place],
            seed=place,
        )
    optimizers = [
        torch.optim.Adam(n.parameters(), lr=rate, weight_decay=0.1) for n, rate in zip(packed, rates, strict=True)
    ]
    train_together(packed, optimizers, image, label)
    for one, other in zip(alone, packed, strict=True):
        torch.testing.assert_close(other.state_dict(), one.state_dict(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("hidden_layers", "activations"), [(HIDDEN, ACTIVATIONS), ([[5]] * 3, [nn.Tanh])])
@pytest.mark.parametrize("nesterov", [False, True])
def test_first_weights_in_the_span_of_the_images_train_as_each_does_alone(
    nesterov: bool, hidden_layers: Sequence[Sequence[int]], activations: Sequence[Any]
) -> None:
    image, label = torch.rand(6, 3, 4, 4), torch.arange(6) % 2
    settings: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov}
    alone, packed = (make_networks(48, hidden_layers=hidden_layers, activations=activations) for _ in range(2))
    theirs, ours = [[torch.optim.SGD(n.parameters(), **settings) for n in each] for each in (alone, packed)]
    for place, (network, optimizer) in enumerate(zip(alone, theirs, strict=True)):
        train_alone(network, optimizer, image, label, seed=place)
    stack = train_together(packed, ours, image, label, images=image)
    assert stack.span is not None
    assert stack.parameters["first.weight"].shape[1] == len(image) + 1
    for one, other, single, joint in zip(alone, packed, theirs, ours, strict=True):
        torch.testing.assert_close(other.state_dict(), one.state_dict(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(joint.state_dict()["state"], single.state_dict()["state"], rtol=1e-4, atol=1e-6)
    norms, layers = stack.weight_norms(["layers.0.weight"])
    for place, network in enumerate(alone):
        weights = [parameter.detach().flatten() for parameter in network.parameters()]
        torch.testing.assert_close(norms[place], torch.cat(weights).norm())
        torch.testing.assert_close(layers["layers.0.weight"][place], weights[0].norm())


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("spans", [True, False])
def test_gradients_of_unlike_networks_are_clipped_per_trial(by_norm: bool, spans: bool) -> None:
    image, label = torch.rand(6, 3, 4, 4), torch.arange(6) % 2
    networks = make_networks(inputs=48)
    kinds, losses = [chain_kind(network) for network in networks], [BCE() for _ in networks]
    alone = copy.deepcopy(networks)
    images, states = image if spans and by_norm else None, [dict[str, Tensor]() for _ in networks]
    stack = stack_networks(networks, losses, kinds=kinds, device=CPU, images=images, states=states)
    *_, gradients = stack.step(image, label, shared=True)
    clipped = dict(zip(stack.parameters, stack.clip(gradients, 0.01, by_norm=by_norm), strict=True))
    clip = torch.nn.utils.clip_grad_norm_ if by_norm else torch.nn.utils.clip_grad_value_
    for place, network in enumerate(alone):
        BCE()(network(image), label).backward()
        clip(network.parameters(), 0.01)
        for name, parameter in network.named_parameters():
            home = stack.locate(name, place)
            found = home.view(clipped[home.key])
            if found.dtype == torch.float64:  # in coordinates
                found = (found[:, :-1] @ image.flatten(1).double()).float()
            torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("layers", "is_chain"),
    [
        ([nn.Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1)], True),
        ([nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1), nn.Linear(2, 1)], False),
        ([nn.Flatten(), nn.Linear(4, 2), nn.LayerNorm(2), nn.Linear(2, 1)], False),
        ([nn.Flatten(), nn.Linear(4, 2), nn.PReLU(), nn.Linear(2, 1)], False),
        ([nn.Flatten(), nn.Linear(4, 2), nn.ReLU(inplace=True), nn.Linear(2, 1)], False),
        ([nn.Flatten(), nn.Linear(4, 1, bias=False)], False),
        ([nn.Linear(4, 1)], False),
        ([nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(4, 1)], False),
    ],
)
def test_a_network_is_a_chain_where_each_layer_can_be_padded(layers: list[nn.Module], is_chain: bool) -> None:
    assert (read_chain(nn.Sequential(*layers)) is not None) == is_chain


class Residual(nn.Module):
    """Add a layer's input to its output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        added: Tensor = x + self.second(x)
        return added


def test_a_network_with_another_path_is_no_chain() -> None:
    assert read_chain(Residual()) is None
