"""Own lists of transforms: results follow from (seed, epoch, index), whatever the transforms draw from."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.augmentation.exactness import check_exactness
from copycat.data.augmentation.pipeline import Pipeline
from copycat.data.augmentation.transforms import UniformNumbers
from copycat.records.run_loader import open_run
from copycat.training.components import build_components
from copycat.training.resume import resume
from tests.support.runs import QUIET, compose_quickly, train_tiny

FLIP = "{_target_: kornia.augmentation.RandomHorizontalFlip, p: 0.5}"
MOVE = "{_target_: kornia.augmentation.RandomAffine, degrees: [-15, 15], translate: [0.1, 0.1]}"
COLOR = "{_target_: kornia.augmentation.ColorJiggle, brightness: 0.2, contrast: [0.8, 1.2]}"
PIPELINE = ("augmentation=pipeline", f"augmentation.transforms=[{FLIP},{MOVE},{COLOR}]")


def torch_noise(image: Tensor) -> Tensor:
    return (image + 0.1 * torch.randn_like(image)).clamp(0, 1)


def numpy_gain(image: Tensor) -> Tensor:
    return (image * float(np.random.rand())).clamp(0, 1)


def python_flip(image: Tensor) -> Tensor:
    return image.flip(3) if random.random() < 0.5 else image


def darken_in_place(image: Tensor) -> Tensor:
    return image.mul_(0.5)


class Counter:
    """Darkens every third image."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, image: Tensor) -> Tensor:
        self.count += 1
        return image * 0.5 if self.count % 3 == 0 else image


class OwnGenerator:
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, image: Tensor) -> Tensor:
        return image * float(self.generator.random())


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def uniform(count: int, *, draws: int = 2) -> Tensor:
    return UniformNumbers(length=count, draws=draws, seed=3)(1, torch.arange(count))


def drawn_next() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_an_image_s_result_follows_from_its_own_numbers_and_the_generators_go_on(images: Tensor) -> None:
    augment = Pipeline(transforms=[torch_noise, numpy_gain, python_flip, darken_in_place])
    before, numbers = images.clone(), uniform(6)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected_next = drawn_next()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    whole = augment(images, numbers)
    assert drawn_next() == expected_next
    order = torch.tensor([4, 0, 5])
    assert torch.equal(augment(images[order], numbers[order]), whole[order])
    assert torch.equal(images, before)
    assert not torch.equal(augment(images[:1].expand(6, -1, -1, -1), numbers)[0], whole[1])
    check_exactness(augment, images)


def test_a_result_is_that_of_the_transforms_called_by_hand(images: Tensor) -> None:
    numbers = uniform(6)
    high, low = (int(value * 2**24) for value in numbers[2])
    torch.manual_seed(high * 2**24 + low)
    assert torch.equal(Pipeline(transforms=[torch_noise])(images, numbers)[2], torch_noise(images[2:3])[0])


@pytest.mark.parametrize("transform", [Counter(), OwnGenerator()])
def test_a_transform_with_a_state_or_a_generator_of_its_own_is_named(
    transform: Callable[[Tensor], Tensor], images: Tensor
) -> None:
    said = rf"^augmentation.transforms\[1\]: expected .* two results of {type(transform).__name__} for the same"
    with pytest.raises(UserError, match=said):
        check_exactness(Pipeline(transforms=[torch_noise, transform]), images[:2])


class Batch:
    """An augmentation of one's own, by a function of images and numbers."""

    draws = 1

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.change = change

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        return self.change(image, uniform)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image, _: torch_noise(image), "got two results of Batch for the same: .* Take its random numbers from"),
        (lambda image, _: numpy_gain(image), "got two results of Batch for the same"),
        (lambda image, _: python_flip(image), "got two results of Batch for the same"),
        (lambda image, _: image - image.mean(0) + 0.5, "depend on the other images of the batch"),
        (lambda image, _: image.mul_(0.5), "expected one that leaves its input as it is"),
        (lambda image, _: image[:, :, 1:], "expected images of 3×8×8 float32, as they came; got 3×7×8 float32"),
        (lambda image, _: image.double(), "got 3×8×8 float64"),
        (lambda image, _: (image - 0.5) / 0.2, "Leave out what normalizes"),
        (lambda image, _: [image], "expected images as a tensor; got a list"),
        (lambda image, _: image @ image[0, :, :3], "expected transforms of images of 3×8×8; got: "),
    ],
)
def test_an_augmentation_of_one_s_own_is_checked_too(
    change: Callable[[Tensor, Tensor], Tensor], said: str, images: Tensor
) -> None:
    with pytest.raises(UserError, match=said):
        check_exactness(Batch(change), images)


def test_one_that_follows_from_its_numbers_passes(images: Tensor) -> None:
    check_exactness(Batch(lambda image, uniform: image * uniform[:, :, None, None]), images)


def test_steps_at_once_single_steps_and_a_mixing_above_have_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "trainer.max_epochs=3", "data.batch_size=4", *QUIET)
    above = ("augmentation=mixup", "augmentation/base=pipeline", f"augmentation.base.transforms=[{FLIP},{MOVE}]")
    for augmentation in (PIPELINE, above):
        folders = [
            train_tiny(*words, *augmentation, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path).folder
            for steps in (1, "null")
        ]
        for file in ("weights.safetensors", "metrics.csv"):
            assert folders[0].joinpath(file).read_bytes() == folders[1].joinpath(file).read_bytes()


def test_a_run_that_is_extended_has_the_bits_of_one_that_was_not_stopped(tiny: Path, tmp_path: Path) -> None:
    words = ("model=shallow", "data.batch_size=4", *PIPELINE)
    folder = train_tiny(*words, "trainer.max_epochs=2", data=tiny, at=tmp_path).folder
    resume(open_run(folder), more={"trainer.max_epochs": 4}, notify=lambda line: None)
    whole = train_tiny(*words, "trainer.max_epochs=4", data=tiny, at=tmp_path).folder
    assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (
            "[{_target_: kornia.augmentation.RandomHorizontlFlip}]",
            "Did you mean kornia.augmentation.RandomHoriz",
        ),
        ("[{_target_: kornia.augmentation.RandomHorizontalFlip, q: 1}]", r"transforms\[0\].q: .* takes keepdim, p"),
        ("[{p: 0.5}]", "expected a list of keys with a _target_ each"),
        ("[]", "expected a list of keys with a _target_ each"),
        ("[{_target_: kornia.augmentation.RandomCrop, size: [4, 4]}]", "expected images of 3×8×8 float32"),
        ("[{_target_: kornia.augmentation.Normalize, mean: 0.5, std: 0.2}]", "Leave out what normalizes"),
        ("[{_target_: torch.nn.BatchNorm2d, num_features: 3}]", "Leave out what normalizes"),
        ("[{_target_: albumentations.HorizontalFlip}]", "No module named 'albumentations'"),
    ],
)
def test_a_wrong_list_is_one_line(transforms: str, said: str, tiny: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "augmentation=pipeline"]
    with pytest.raises(UserError, match=rf"^augmentation.*{said}"):
        build_components(compose_quickly([*words, f"augmentation.transforms={transforms}"]).config)


def test_a_missing_list_is_said() -> None:
    with pytest.raises(UserError, match=r"^augmentation.transforms: expected a value; got none"):
        compose_quickly(["augmentation=pipeline"])
