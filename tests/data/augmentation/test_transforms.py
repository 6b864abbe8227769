"""Augmentation: what it does to pixels, on what its uniform depends, and which batches it leaves alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from copycat.data.augmentation.transforms import Augmentation, Light, Unchanged, UniformNumbers
from copycat.data.datamodule import DataModule
from copycat.data.loaders import Batch
from copycat.data.split import Part
from tests.support.parts import make_part
from tests.support.trainers import make_trainer

LARGEST = np.nextafter(np.float32(1), np.float32(0))
"""The largest number that can be drawn."""
SHARES = st.floats(0, float(LARGEST), width=32)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def make_distinct_pixels(shape: tuple[int, ...]) -> Tensor:
    """No two pixels are alike, so where each came from can be told."""
    return torch.randperm(int(np.prod(shape)), generator=torch.Generator().manual_seed(0)).float().reshape(shape)


def shift_by_hand(image: Tensor, *, mirrored: bool, down: int, right: int) -> Tensor:
    """One image [C, H, W], pixel by pixel."""
    _, height, width = image.shape
    made = torch.empty_like(image)
    for row in range(height):
        for column in range(width):
            there = min(max(column - right, 0), width - 1)
            above = min(max(row - down, 0), height - 1)
            made[:, row, column] = image[:, above, width - 1 - there if mirrored else there]
    return made


# ----- what it does to pixels


@given(SHAPES, st.integers(0, 9), st.floats(0, 1), st.data())
def test_each_image_is_mirrored_and_shifted_by_its_own_chance(
    shape: tuple[int, int, int, int], shift: int, flip: float, data: st.DataObject
) -> None:
    image = make_distinct_pixels(shape)
    uniform = torch.from_numpy(data.draw(arrays.arrays(np.float32, (shape[0], 3), elements=SHARES)))
    made = Light(flip=flip, shift=shift)(image, uniform)
    for place, (first, second, third) in enumerate(uniform.tolist()):
        down, right = (int(np.float32(x) * np.float32(2 * shift + 1)) - shift for x in (second, third))
        expected = shift_by_hand(image[place], mirrored=first < np.float32(flip), down=down, right=right)
        assert torch.equal(made[place], expected)


@given(SHAPES)
def test_mirrored_twice_is_the_image(shape: tuple[int, int, int, int]) -> None:
    image, mirror, uniform = make_distinct_pixels(shape), Light(flip=1, shift=0), torch.zeros(shape[0], 3)
    assert torch.equal(mirror(mirror(image, uniform), uniform), image)
    assert torch.equal(mirror(image, uniform), image.flip(3))


@given(SHAPES, SHARES)
def test_no_flip_and_no_shift_leave_the_image(shape: tuple[int, int, int, int], drawn: float) -> None:
    image = make_distinct_pixels(shape)
    assert torch.equal(Light(flip=0, shift=0)(image, torch.full((shape[0], 3), drawn)), image)


def test_shifts_reach_both_ends_and_no_further() -> None:
    uniform = torch.tensor([0.0, 0.5, float(LARGEST)])
    for shift in range(8193):
        assert Light(shift=shift)._shifts(uniform).tolist() == [-shift, 0, shift]


def test_shifts_are_uniform_and_the_configured_share_of_images_is_mirrored() -> None:
    uniform = UniformNumbers(length=90_000, draws=3, seed=0)(0, torch.arange(90_000))
    counts = torch.bincount(Light(shift=4)._shifts(uniform[:, 1]) + 4)
    assert len(counts) == 9
    assert counts.sub(10_000).abs().max() < 500  # give or take 94
    image = torch.tensor([0.0, 1.0]).expand(90_000, 1, 1, 2)
    mirrored = Light(flip=0.3, shift=0)(image, uniform)[:, 0, 0, 0].mean().item()
    assert mirrored == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_batch_keeps_its_type_and_is_not_written_to(dtype: torch.dtype) -> None:
    image = make_distinct_pixels((4, 3, 5, 6)).to(dtype)
    before = image.clone()
    made = Light()(image, torch.rand(4, 3, generator=torch.Generator().manual_seed(1)))
    assert made.dtype == dtype
    assert made.shape == image.shape
    assert image._version == 0
    assert torch.equal(image, before)
    assert made.data_ptr() != image.data_ptr()


# ----- its uniform


@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 1000), st.data())
def test_what_an_image_gets_depends_on_seed_epoch_and_place_alone(
    length: int, seed: int, epoch: int, before: int, data: st.DataObject
) -> None:
    whole = UniformNumbers(length=length, draws=3, seed=seed)(epoch, torch.arange(length))
    index = torch.tensor(data.draw(st.lists(st.integers(0, length - 1), min_size=1)))
    torch.manual_seed(before)
    state = torch.get_rng_state()
    other = UniformNumbers(length=length, draws=3, seed=seed)
    other(before, index)
    assert torch.equal(other(epoch, index), whole[index])
    assert torch.equal(torch.get_rng_state(), state)


def test_epochs_and_seeds_and_images_have_chances_of_their_own() -> None:
    index = torch.arange(50)
    drawn = [UniformNumbers(length=50, draws=3, seed=seed)(epoch, index) for seed in range(5) for epoch in range(5)]
    assert len(set(torch.cat(drawn).flatten().tolist())) > 0.99 * 25 * 150


def test_the_chances_of_an_epoch_stay_the_same_from_release_to_release() -> None:
    drawn = UniformNumbers(length=4, draws=2, seed=123)(2, torch.tensor([3]))
    assert drawn.tolist() == [[0.42691701650619507, 0.8769206404685974]]


# ----- which batches it changes

PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (23, 3, 6, 6), dtype=np.uint8))


class PixelSource:
    classes: Sequence[str] = ("even", "odd")
    synthetic = False

    def load(self) -> Mapping[str, Part]:
        parts = {"train": PIXELS, "val": PIXELS[:9]}
        return {name: make_part(images, torch.arange(len(images)) % 2) for name, images in parts.items()}


class ImageRecorder(pl.LightningModule):
    """Takes down the images that come, by stage and epoch, each at its place."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[tuple[str, int], Tensor] = {}

    def see(self, stage: str, batch: Batch) -> None:
        seen = self.seen.setdefault((stage, self.current_epoch), torch.full((23, 3, 6, 6), torch.nan))
        seen[batch["index"]] = batch["image"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.see("train", batch)
        return self.weight * batch["image"].mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.see("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit_recorder(
    folder: Path, augmentation: Augmentation | None, *, batch_size: int = 5, shuffle: bool = True
) -> ImageRecorder:
    module = ImageRecorder()
    data = DataModule(PixelSource(), batch_size=batch_size, shuffle=shuffle, seed=7, augmentation=augmentation)
    make_trainer(folder, epochs=3, sanity_steps=1).fit(module, datamodule=data)
    return module


FLOATS = PIXELS.float().div(255)


def test_batches_that_are_trained_on_are_changed_anew_each_epoch_and_others_never(tmp_path: Path) -> None:
    module = fit_recorder(tmp_path, Light(shift=2))
    for epoch in range(3):
        uniform = UniformNumbers(length=23, draws=3, seed=7)(epoch, torch.arange(23))
        assert torch.equal(module.seen["train", epoch], Light(shift=2)(FLOATS, uniform))
        assert torch.equal(module.seen["val", epoch][:9], FLOATS[:9])
    assert not torch.equal(module.seen["train", 0], module.seen["train", 1])


def test_an_image_is_changed_alike_in_every_order_and_size_of_batches(tmp_path: Path) -> None:
    one = fit_recorder(tmp_path, Light()).seen
    for batch_size, shuffle in ((5, False), (1, True), (23, True)):
        other = fit_recorder(tmp_path, Light(), batch_size=batch_size, shuffle=shuffle).seen
        assert all(torch.equal(one["train", epoch], other["train", epoch]) for epoch in range(3))


def test_the_training_part_is_evaluated_as_it_is(tmp_path: Path) -> None:
    data = DataModule(PixelSource(), batch_size=5, augmentation=Light())
    module = ImageRecorder()
    make_trainer(tmp_path, epochs=3, sanity_steps=1).fit(module, datamodule=data)
    module.seen.clear()
    make_trainer(tmp_path, epochs=3, sanity_steps=1).validate(module, dataloaders=data.loader("train"), verbose=False)
    assert torch.equal(module.seen["val", 0], FLOATS)


@pytest.mark.parametrize("augmentation", [None, Unchanged()])
def test_without_augmentation_a_batch_is_handed_on_as_it_came(
    augmentation: Augmentation | None, tmp_path: Path
) -> None:
    data = DataModule(PixelSource(), augmentation=augmentation)
    batch = next(iter(data.train_dataloader()))
    assert data.on_after_batch_transfer(batch, 0) is batch
    assert torch.equal(fit_recorder(tmp_path, augmentation).seen["train", 1], FLOATS)
