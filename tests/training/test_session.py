"""The losses that a run records are, to the last bit, those of a loop in plain PyTorch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from copycat.config.compose import Request
from copycat.data.split import Part
from copycat.training.train import train
from tests.support.images import write_image_folder
from tests.support.parameters import mark_slow
from tests.support.parts import make_part
from tests.support.plain_loop import (
    DENSE,
    QUICK,
    Loop,
    Set,
    build_classifier_by_hand,
    format_bits,
    read_images,
    read_loss_bits,
    train_quick,
)
from tests.support.runs import compose_quickly

pytestmark = pytest.mark.usefixtures("threads")
HIDDEN = {"logistic": [], "shallow": [13], "deep": [20, 7, 5]}
SEEDS = {"logistic": 123, "shallow": 0, "deep": 2**32 - 1}


class Noise:
    """A source of one's own: 8×8 pixels of noise, the labels mixed, so that every batch has both."""

    classes: Sequence[str] = ("no", "yes")
    synthetic = True

    def load(self) -> Mapping[str, Part]:
        parts = {name: make_noise(name) for name in ("train", "val")}
        return {name: make_part(torch.from_numpy(x), torch.from_numpy(y)) for name, (x, y) in parts.items()}


def make_noise(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    draw = np.random.default_rng(["train", "val"].index(part))
    return draw.integers(0, 40, (40, 3, 8, 8), dtype=np.uint8), draw.integers(0, 2, 40, dtype=np.int64)


def lecture_set(folder: Path, part: str) -> Set:
    with h5py.File(folder / f"{part}_catvnoncat.h5") as file:
        images, labels = torch.from_numpy(file[f"{part}_set_x"][:]), torch.from_numpy(file[f"{part}_set_y"][:])
    return images.permute(0, 3, 1, 2).float().div(255).contiguous(), labels


@pytest.fixture(scope="module")
def finches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = {"crow": 0, "duck": 25, "owl": 50}
    return write_image_folder(
        tmp_path_factory.mktemp("finches"), classes=classes, parts={"train": 13, "val": 5}, levels=206, seed=2, digits=2
    )


def bytes_of(tensors: Iterable[Tensor]) -> Iterator[bytes]:
    return (tensor.numpy().tobytes() for tensor in tensors)


def test_every_dense_option_is_held_against_the_loop_below() -> None:
    conf = Path(__file__).parents[2] / "conf" / "optimizer"
    assert {file.stem for file in conf.glob("*.yaml")} == {*DENSE, "sparse_adam"}


@cache
def compose_quick(*words: str) -> Mapping[str, Any]:
    """Composing takes longer than such a run: what differs below is put in afterwards."""
    return compose_quickly([*QUICK, *words]).config


@pytest.mark.parametrize("size", [0, 24], ids=["full", "mini-batches"])
@pytest.mark.parametrize("model", HIDDEN)
@pytest.mark.parametrize("optimizer", mark_slow(DENSE, fast=["sgd", "adamw", "lbfgs"]))
def test_every_recorded_loss_has_the_bits_of_the_loop_with_torch_s_own_defaults(
    optimizer: str, model: str, size: int, tmp_path: Path
) -> None:
    config = dict(compose_quick(f"model={model}", "trainer.max_epochs=4"))
    config |= {"optimizer": compose_quick(f"optimizer={optimizer}")["optimizer"], "seed": SEEDS[model]}
    source = {"_target_": f"{__name__}.Noise", "batch_size": size or None}
    outcome = train(Request(config=config | {"data": source, "output_dir": str(tmp_path)}))
    torch.manual_seed(SEEDS[model])
    network, (pixels, labels) = build_classifier_by_hand(HIDDEN[model], pixels=192), make_noise("train")
    data = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)), torch.from_numpy(labels)
    loop = Loop(network, data, DENSE[optimizer], epochs=4, size=size)
    assert read_loss_bits(outcome) == format_bits(loop.losses)
    assert len(set(loop.losses)) > 1, "a loop that stands still shows nothing"
    weights = load_file(outcome.folder / "weights.safetensors").values()
    assert sorted(bytes_of(weights)) == sorted(bytes_of(p.detach() for p in network.parameters()))


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 45))
def test_any_seed_and_any_batch_size_give_the_loop_s_bits(seed: int, size: int, pets: Path, tmp_path: Path) -> None:
    words = [f"seed={seed}", f"data.batch_size={size}", "model=shallow", "optimizer=adam", "trainer.max_epochs=2"]
    torch.manual_seed(seed)
    loop = Loop(
        build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), torch.optim.Adam, epochs=2, size=size
    )
    assert read_loss_bits(train_quick(pets, tmp_path, *words)) == format_bits(loop.losses)


@pytest.mark.parametrize("style", ["sequential", "subclass"])
def test_both_styles_give_the_loop_s_bits_also_where_an_activation_has_parameters(
    style: str, pets: Path, tmp_path: Path
) -> None:
    words = ["model=deep", f"model.style={style}", "activation=prelu", "optimizer=lbfgs", "trainer.max_epochs=3"]
    torch.manual_seed(5)
    model = build_classifier_by_hand([20, 7, 5], pixels=192, activation=nn.PReLU)
    loop = Loop(model, read_images(pets, "train"), torch.optim.LBFGS, epochs=3)
    assert read_loss_bits(train_quick(pets, tmp_path, *words, "seed=5")) == format_bits(loop.losses)


def test_three_classes_give_the_bits_of_the_loop_with_cross_entropy(finches: Path, tmp_path: Path) -> None:
    words = ["loss=cross_entropy", "model=shallow", "optimizer=adamw", "trainer.max_epochs=5", "data.batch_size=10"]
    torch.manual_seed(123)
    model = build_classifier_by_hand([13], pixels=192, outputs=3)
    loop = Loop(model, read_images(finches, "train"), torch.optim.AdamW, epochs=5, size=10)
    assert read_loss_bits(train_quick(finches, tmp_path, *words)) == format_bits(loop.losses)


class ColorsByHand(nn.Module):
    """8 steps a channel; the mean weight of an image's pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(512, 1, mode="mean", sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = (torch.floor(x[:, c].flatten(1) * 8).clamp(max=7).long() for c in range(3))
        logits: Tensor = self.bag(64 * red + 8 * green + blue)
        return logits


def sparse_losses(data: Set, *, epochs: int, size: int) -> list[float]:
    torch.manual_seed(123)
    model = nn.Sequential(ColorsByHand(), nn.Sigmoid())
    return Loop(model, data, torch.optim.SparseAdam, epochs=epochs, size=size).losses


def test_sparse_adam_on_a_bag_of_colors_gives_the_loop_s_bits(pets: Path, tmp_path: Path) -> None:
    words = ["model=bag_of_colors", "optimizer=sparse_adam", "trainer.max_epochs=5", "data.batch_size=16"]
    losses = sparse_losses(read_images(pets, "train"), epochs=5, size=16)
    assert read_loss_bits(train_quick(pets, tmp_path, *words)) == format_bits(losses)


@pytest.mark.parametrize(
    ("model", "optimizer", "seed", "size", "epochs"),
    [("logistic", "sgd", 123, 0, 30), ("shallow", "adam", 123, 64, 3), ("deep", "nesterov", 0, 0, 5)],
)
def test_the_real_cats_give_the_loop_s_bits(
    model: str, optimizer: str, seed: int, size: int, epochs: int, cats_folder: Path, tmp_path: Path
) -> None:
    words = [f"model={model}", f"optimizer={optimizer}", f"seed={seed}", f"data.batch_size={size or 'null'}"]
    asked = ["data=cats", f"data.root={cats_folder}", f"trainer.max_epochs={epochs}", f"output_dir={tmp_path}"]
    torch.manual_seed(seed)
    network = build_classifier_by_hand(HIDDEN[model], pixels=12288)
    loop = Loop(network, lecture_set(cats_folder, "train"), DENSE[optimizer], epochs=epochs, size=size)
    assert read_loss_bits(train(compose_quickly([*words, *QUICK, *asked]))) == format_bits(loop.losses)


def test_the_real_cats_in_a_bag_of_colors_give_the_loop_s_bits(cats_folder: Path, tmp_path: Path) -> None:
    words = ["model=bag_of_colors", "optimizer=sparse_adam", "data.batch_size=64", "trainer.max_epochs=3"]
    asked = ["data=cats", f"data.root={cats_folder}", f"output_dir={tmp_path}"]
    losses = sparse_losses(lecture_set(cats_folder, "train"), epochs=3, size=64)
    assert read_loss_bits(train(compose_quickly([*words, *QUICK, *asked]))) == format_bits(losses)
