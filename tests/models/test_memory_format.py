"""Weights and images of a network lie in memory by pixels, with the same values."""

from typing import Any

import torch
from torch import Tensor, nn

from copycat.models.memory_format import use_channels_last
from copycat.models.networks import CNN, MLP


def test_the_network_and_all_that_it_sees_are_channels_last() -> None:
    torch.manual_seed(0)
    network = CNN(image_shape=(3, 8, 8), channels=[4, 6], out_features=1, activation=nn.ReLU, dropout=0.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(5, 3, 8, 8)
    expected = network(images)
    seen: list[Tensor] = []
    network.features.register_forward_hook(lambda _, inputs, output: seen.extend([*inputs, output]))
    assert use_channels_last(network)
    found = network(images)
    assert [tensor.is_contiguous(memory_format=torch.channels_last) for tensor in seen] == [True, True]
    assert images.is_contiguous()
    weights: Any = network.features[0].weight
    assert weights.is_contiguous(memory_format=torch.channels_last)
    assert [*network.state_dict()] == [*before]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.allclose(found, expected, atol=1e-6)
    found.sum().backward()
    assert weights.grad.is_contiguous(memory_format=torch.channels_last)


def test_a_network_without_convolutions_stays_as_it_is() -> None:
    network = MLP(in_features=12, hidden=[3], out_features=1, activation=nn.ReLU)
    assert not use_channels_last(network)
    assert not network._forward_pre_hooks
