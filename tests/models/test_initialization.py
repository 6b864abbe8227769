"""The weights that a network starts from."""

from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.models.initialization import Normal, Zeros
from copycat.models.networks import CNN, MLP
from copycat.records.metrics_csv import read_history
from copycat.training.components import build_components
from copycat.training.train import train
from tests.support.runs import QUIET, compose_quickly, train_tiny

IMAGE_SHAPE = (3, 8, 8)


def make_mlp() -> MLP:
    return MLP(in_features=192, hidden=[200, 100], out_features=1, activation=nn.ReLU)


@pytest.mark.parametrize(
    ("std", "expected"),
    [
        (0.01, [0.01, 0.01]),
        ("lecun", [sqrt(1 / 192), sqrt(1 / 200)]),
        ("he", [sqrt(2 / 192), sqrt(2 / 200)]),
        ("xavier", [sqrt(2 / (192 + 200)), sqrt(2 / (200 + 100))]),
    ],
)
def test_weights_have_the_standard_deviation_asked_for_and_biases_are_zero(
    std: float | str, expected: list[float]
) -> None:
    network = make_mlp()
    Normal(std=std)(network, seed=0, image_shape=IMAGE_SHAPE)  # type: ignore[arg-type]
    weights = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    assert [weight.std().item() for weight in weights[:2]] == pytest.approx(expected, rel=0.03)
    assert all(weight.mean().abs() < weight.std() / 20 for weight in weights[:2])
    assert not any(parameter.any() for parameter in network.parameters() if parameter.dim() == 1)


def test_a_convolution_counts_the_pixels_of_its_kernel() -> None:
    make = partial(CNN, image_shape=IMAGE_SHAPE, out_features=1, activation=nn.ReLU, dropout=0, batch_norm=True)
    network = make(channels=[64])
    normalization = network.features[1]
    assert isinstance(normalization, nn.BatchNorm2d)
    kept = normalization.weight.clone()
    Normal(std="he")(network, seed=0, image_shape=IMAGE_SHAPE)
    (convolution, *_) = network.parameters()
    assert convolution.std().item() == pytest.approx(sqrt(2 / (3 * 9)), rel=0.05)
    assert torch.equal(normalization.weight, kept)


def test_numpy_s_legacy_generator_draws_what_a_notebook_draws() -> None:
    network = make_mlp().double()
    Normal(std="lecun", generator="numpy_legacy", seed=1)(network, seed=0, image_shape=IMAGE_SHAPE)
    np.random.seed(1)
    for layer in (module for module in network.modules() if isinstance(module, nn.Linear)):
        expected = np.random.randn(*layer.weight.shape) / np.sqrt(layer.weight.shape[1])
        assert np.array_equal(layer.weight.detach().numpy(), expected)


def test_channels_last_gives_the_logits_of_images_flattened_so() -> None:
    first, last = make_mlp().double(), make_mlp().double()
    for network, order in ((first, "channels_first"), (last, "channels_last")):
        Normal(std="he", image_order=order)(network, seed=3, image_shape=IMAGE_SHAPE)  # type: ignore[arg-type]
    images = torch.rand(5, *IMAGE_SHAPE, dtype=torch.float64)
    assert torch.allclose(last(images), first(images.permute(0, 2, 3, 1)), rtol=1e-12)
    assert not torch.allclose(first(images), last(images), rtol=1e-3)


def test_channels_last_needs_a_first_layer_of_flattened_images(tiny: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "model=cnn", "model.channels=[4]"]
    wrong = [*words, "initialization=he", "initialization.image_order=channels_last"]
    with pytest.raises(UserError, match=r"takes flattened images; got a first weight of shape \[4, 3, 3, 3\]"):
        build_components(compose_quickly(wrong).config)


def test_a_run_starts_from_zeros_and_its_first_loss_is_that_of_chance(tiny: Path, tmp_path: Path) -> None:
    words = ("initialization=zeros", "trainer.max_epochs=2", *QUIET)
    rows = read_history(train_tiny(*words, data=tiny, at=tmp_path).folder)
    assert rows[0]["train/loss"] == pytest.approx(np.log(2), rel=1e-6) != rows[1]["train/loss"]
    network = make_mlp()
    Zeros()(network, seed=0, image_shape=IMAGE_SHAPE)
    assert not any(parameter.any() for parameter in network.parameters())


def test_weights_come_from_the_run_s_seed_unless_one_is_given(tiny: Path) -> None:
    def first_weight(*words: str) -> torch.Tensor:
        shared = ("data=folder", f"data.root={tiny}", "data.image_size=8", "model=shallow", "initialization=he")
        return next(build_components(compose_quickly([*shared, *words]).config).classifier.network.parameters())

    assert torch.equal(first_weight("seed=1"), first_weight("seed=1"))
    assert not torch.equal(first_weight("seed=1"), first_weight("seed=2"))
    fixed = "initialization.seed=5"
    assert torch.equal(first_weight("seed=1", fixed), first_weight("seed=2", fixed))


def test_the_default_changes_no_bit_of_a_run(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=2", *QUIET]
    request = compose_quickly([*words, f"output_dir={tmp_path}"])
    without = {name: node for name, node in request.config.items() if name != "initialization"}
    folders = [train(request).folder, train(type(request)(**{**vars(request), "config": without})).folder]
    one, other = ((folder / "weights.safetensors").read_bytes() for folder in folders)
    assert one == other


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("initialization.std=-1", "initialization.std: expected .*he.*; got -1"),
        ("initialization.std=hee", r"Did you mean initialization\.std=he\?"),
        ("initialization.generator=numpy", "expected one of numpy_legacy, torch; got 'numpy'"),
        ("initialization=hes", r"Did you mean initialization=he\?"),
    ],
)
def test_a_mistake_is_one_line(word: str, line: str) -> None:
    first = [] if word.startswith("initialization=") else ["initialization=normal"]
    with pytest.raises(UserError, match=line):
        compose([*first, word])
