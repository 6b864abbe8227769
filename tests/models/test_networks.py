"""The lecture's networks: one by one, in both styles, and beside networks written by hand."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.config.compose import compose
from copycat.models.losses import BCE, CrossEntropy
from copycat.models.networks import CNN, BagOfColors, Normalized, mlp
from copycat.training.component_builders import build_network
from tests.support.parameters import mark_slow

KINDS = {
    "linear": [192],
    "logistic": [192],
    "shallow": [192, 13],
    "deep": [192, 20, 7, 5],
}


class Drawn(nn.Module):
    """An activation that draws random numbers as it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.rand(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.slope * x)


def build_network_by_hand(widths: list[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for place in range(1, len(widths)):
        layers.append(nn.Linear(widths[place - 1], widths[place]))
        if place < len(widths) - 1:
            layers.append(activation())
    return nn.Sequential(*layers)


def same_bits(ours: nn.Module, theirs: nn.Module, image: Tensor) -> None:
    """Same parameters in the same order, same outputs, same gradients."""
    outputs = [network(image) for network in (ours, theirs)]
    assert outputs[0].equal(outputs[1])
    for output in outputs:
        output.square().sum().backward()
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert pairs
    for a, b in pairs:
        assert a.equal(b)
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.equal(b.grad)


# ----- linear, logistic, shallow, deep


@settings(max_examples=60)
@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    style=st.sampled_from(["sequential", "subclass"]),
    activation=st.sampled_from([nn.Sigmoid, nn.ReLU, nn.PReLU, Drawn]),
    seed=st.integers(0, 2**32 - 1),
)
def test_either_style_has_the_bits_of_a_network_written_by_hand(
    widths: list[int], style: str, activation: Callable[[], nn.Module], seed: int
) -> None:
    torch.manual_seed(seed)
    theirs = build_network_by_hand(widths, activation)
    torch.manual_seed(seed)
    ours = mlp(style=style, in_features=widths[0], hidden=widths[1:-1], out_features=widths[-1], activation=activation)
    same_bits(ours, theirs, torch.rand(3, widths[0], generator=torch.Generator().manual_seed(seed)))


def test_sequential_is_an_nn_sequential_of_named_layers_and_subclass_is_none() -> None:
    made = partial(mlp, in_features=12, hidden=[4, 3], out_features=1, activation=nn.Sigmoid)
    network = made(style="sequential")
    assert isinstance(network, nn.Sequential)
    assert [name for name, _ in network.named_children()] == [
        "flatten", "linear1", "activation1", "linear2", "activation2", "linear3",
    ]  # fmt: skip
    assert not isinstance(made(style="subclass"), nn.Sequential)


def test_an_activation_that_is_handed_out_twice_is_applied_twice() -> None:
    shared = nn.Tanh()
    for style in ("sequential", "subclass"):
        ours = mlp(style=style, in_features=3, hidden=[3, 3], out_features=1, activation=lambda: shared)
        first, second, last = [module for module in ours.modules() if isinstance(module, nn.Linear)]
        image = torch.rand(2, 3)
        assert ours(image).equal(last(torch.tanh(second(torch.tanh(first(image))))))


@pytest.mark.parametrize("style", ["sequential", "subclass"])
@pytest.mark.parametrize("classes", mark_slow([2, 3, 10], fast=[3]))
@pytest.mark.parametrize("option", KINDS)
def test_each_of_the_lecture_s_kinds_composes_for_any_number_of_classes(option: str, classes: int, style: str) -> None:
    loss = "mse" if option == "linear" else "bce" if classes == 2 else "cross_entropy"
    config = compose([f"model={option}", f"model.style={style}", f"loss={loss}", "seed=0"]).config
    ours = build_network(config, image_shape=(3, 8, 8), classes=classes)
    torch.manual_seed(0)
    theirs = build_network_by_hand([*KINDS[option], 1 if classes == 2 else classes], nn.Sigmoid)
    same_bits(ours, theirs, torch.rand(2, 3, 8, 8))


# ----- activations


LEFT_OUT = {
    "GLU": "halves the width that it is given",
    "MultiheadAttention": "is a layer: it wants query, key and value",
    "Softmax2d": "wants images: it is Softmax(dim=1) there, which softmax.yaml gives",
}
OPTIONS: dict[str, str] = {
    yaml.safe_load(file.read_text())["_target_"].rpartition(".")[2]: file.stem
    for file in sorted((Path(__file__).parents[2] / "conf" / "activation").glob("*.yaml"))
}


def test_every_activation_of_torch_has_an_option() -> None:
    known = set(torch.nn.modules.activation.__all__)
    assert set(OPTIONS) >= known - set(LEFT_OUT)
    assert set(LEFT_OUT) <= known - set(OPTIONS)


NEEDED: dict[str, dict[str, int]] = {
    "Threshold": {"threshold": 0, "value": 0},
    "Softmax": {"dim": 1},
    "Softmin": {"dim": 1},
    "LogSoftmax": {"dim": 1},
}
"""What torch has no default for."""


FAST = [("ReLU", "shallow"), ("PReLU", "cnn"), ("Softmax", "shallow"), ("RReLU", "cnn"), ("GELU", "shallow")]
IN_TURN = [(name, ("shallow", "cnn")[place % 2]) for place, name in enumerate(OPTIONS)]


@pytest.mark.parametrize(("name", "model"), mark_slow(dict.fromkeys([*FAST, *IN_TURN]), fast=FAST, unpack=True))
def test_every_activation_composes_has_torch_s_defaults_and_trains_a_step(name: str, model: str) -> None:
    config = compose_model(model)
    node = compose([f"activation={OPTIONS[name]}"]).config["activation"]
    network = build_network(
        {**config, "model": {**config["model"], "activation": node}}, image_shape=(3, 16, 16), classes=2
    )
    torchs = getattr(nn, name)(**NEEDED.get(name, {}))
    ours = next(module for module in network.modules() if type(module) is type(torchs))
    x = torch.linspace(-4, 4, 30).reshape(2, 5, 3)
    assert ours.eval()(x).equal(torchs.eval()(x))  # eval: RReLU draws its slopes in training
    network.train()
    before = [p.clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    BCE()(network(torch.rand(4, 3, 16, 16)), torch.tensor([0, 1, 1, 1])).backward()
    optimizer.step()
    after = list(network.parameters())
    assert all(p.isfinite().all() for p in after)
    assert any(not p.equal(old) for p, old in zip(after, before, strict=True))


@cache
def compose_model(model: str) -> Mapping[str, Any]:
    return compose([f"model={model}"]).config


# ----- convolutions


@pytest.mark.parametrize(("height", "width", "channels"), [(16, 16, [4, 8]), (9, 13, [5]), (8, 23, [2, 3, 4])])
def test_a_cnn_is_convolutions_activations_and_poolings_then_a_linear_layer(
    height: int, width: int, channels: list[int]
) -> None:
    network = CNN(
        image_shape=(3, height, width), channels=channels, out_features=4, activation=nn.ReLU, dropout=0.5
    ).eval()
    image = torch.rand(2, 3, height, width)
    weights = list(network.parameters())
    x = image
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = F.max_pool2d(F.relu(F.conv2d(x, kernel, bias, padding=1)), 2)
    assert [kernel.shape[0] for kernel in weights[:-2:2]] == channels
    assert network(image).equal(F.linear(x.flatten(1), *weights[-2:]))


def test_a_cnn_normalizes_over_the_batch_where_asked() -> None:
    shape, channels = (3, 9, 12), [4, 5]
    network = CNN(
        image_shape=shape, channels=channels, out_features=2, activation=nn.ReLU, dropout=0.0, batch_norm=True
    )
    x = image = torch.rand(6, *shape)
    *layers, weight, bias = network.parameters()
    for kernel, scale, shift in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        x = F.conv2d(x, kernel, padding=1)
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt() * scale[:, None, None] + shift[:, None, None]
        x = F.max_pool2d(F.relu(x), 2)
    torch.testing.assert_close(network(image), F.linear(x.flatten(1), weight, bias))


def test_a_normalized_network_is_given_images_of_mean_0_and_deviation_1() -> None:
    image, linear = torch.rand(5, 3, 4, 4), nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    mean, std = image.mean((0, 2, 3)), image.std((0, 2, 3), correction=0)
    network = Normalized(linear, mean=mean.tolist(), std=std.tolist())
    torch.testing.assert_close(network(image), linear((image - mean[:, None, None]) / std[:, None, None]))
    assert "Normalization(means=3, stds=3)" in repr(network)  # the same graph has the same text
    torch.testing.assert_close(Normalized(linear, mean=[0.5], std=[2.0])(image), linear((image - 0.5) / 2))


def test_a_cnn_drops_features_in_training_only() -> None:
    network = CNN(image_shape=(3, 8, 8), channels=[4], out_features=1, activation=nn.ReLU, dropout=0.5)
    image = torch.rand(1, 3, 8, 8)
    assert not network.train()(image).equal(network(image))
    assert network.eval()(image).equal(network(image))


def test_a_cnn_with_more_poolings_than_the_image_has_pixels_says_so() -> None:
    with pytest.raises(ValueError, match="3 poolings need images of at least 8×8"):
        CNN(image_shape=(3, 7, 64), channels=[1, 1, 1], out_features=1, activation=nn.ReLU, dropout=0.0)


# ----- colors


@settings(max_examples=60)
@given(levels=st.integers(2, 40), seed=st.integers(0, 2**32 - 1), outputs=st.integers(1, 4))
def test_a_bag_of_colors_weighs_the_histogram_that_numpy_counts(levels: int, seed: int, outputs: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 3, 5, 7), dtype=np.uint8)
    pixels[0, :, 0, :3] = [0, 255, 51]  # the ends, and a value that 5 levels cut exactly
    network = BagOfColors(levels=levels, out_features=outputs, sparse=True)
    steps = np.minimum(pixels.astype(int) * levels // 255, levels - 1)
    expected = []
    for image in steps.reshape(2, 3, -1):
        counts, _ = np.histogramdd(image.T, bins=[np.arange(levels + 1) - 0.5] * 3)
        expected.append(counts.reshape(-1) / 35 @ network.weights.weight.detach().double().numpy())
    found = network(torch.from_numpy(pixels).float().div(255)).detach().numpy()
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-4, atol=1e-5)


def test_only_the_colors_of_a_batch_have_a_gradient_and_it_is_sparse() -> None:
    network = BagOfColors(levels=2, out_features=3, sparse=True)
    black_and_white = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    CrossEntropy()(network(black_and_white), torch.tensor([0, 2])).backward()
    gradient = network.weights.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert sorted(gradient.coalesce().indices()[0].tolist()) == [0, 7]
    dense = BagOfColors(levels=2, out_features=3, sparse=False)
    dense.load_state_dict(network.state_dict())
    CrossEntropy()(dense(black_and_white), torch.tensor([0, 2])).backward()
    assert dense.weights.weight.grad is not None
    assert dense.weights.weight.grad.equal(gradient.to_dense())
