"""The DataModule: sources of one's own, loaders, and the fingerprint that tells data apart."""

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.loaders import Batch, MemoryLoader, ResumableLoader
from copycat.data.split import Part, digest
from tests.support.parts import make_gray_part, make_part
from tests.support.trainers import make_trainer

Pixels = Sequence[int]


class UserSource:
    """A source as a user would write one: no base class, and classes known only once it is loaded."""

    def __init__(self, **parts: Part) -> None:
        self.classes: Sequence[str] = ()
        self.synthetic = False
        self.parts = parts
        self.loaded = 0

    def load(self) -> Mapping[str, Part]:
        self.loaded += 1
        self.classes = ["even", "odd"]
        return self.parts


def make_data(train: Pixels = range(20), val: Pixels = range(30, 36), **options: Any) -> DataModule:
    return DataModule(UserSource(train=make_gray_part(train), val=make_gray_part(val)), **options)


# ----- a source of one's own


def test_a_source_of_ones_own_is_read_once_and_at_first_use() -> None:
    source = UserSource(train=make_gray_part(range(4)), val=make_gray_part([7]))
    module = DataModule(source)
    assert source.loaded == 0
    assert module.classes == ("even", "odd")
    assert module.image_shape == (3, 1, 2)
    assert [len(module.parts[name]) for name in ("train", "val")] == [4, 1]
    assert source.loaded == 1


def test_a_source_without_a_validation_part_has_a_fifth_held_out() -> None:
    module = DataModule(UserSource(train=make_gray_part(range(20))))
    assert {name: len(found) for name, found in module.parts.items()} == {"train": 16, "val": 4}


# ----- loaders


def list_values(loader: ResumableLoader) -> list[int]:
    return [round(float(image[0, 0, 0]) * 255) for batch in loader for image in batch["image"]]


def test_only_training_images_are_shuffled_and_only_where_asked() -> None:
    plain, shuffled = make_data(), make_data(shuffle=True, batch_size=4)
    assert list_values(plain.train_dataloader()) == list(range(20))
    assert sorted(list_values(shuffled.train_dataloader())) == list(range(20))
    assert list_values(shuffled.train_dataloader()) != list(range(20))
    assert list_values(shuffled.val_dataloader()) == list(range(30, 36))
    assert list_values(make_data(shuffle=True, fold=0).test_dataloader()) == list(range(30, 36))


@pytest.mark.parametrize("first", ["in file order", "shuffled"])
def test_training_images_can_be_had_in_file_order_beside_the_shuffled_loader(first: str) -> None:
    module = make_data(shuffle=True)
    if first == "in file order":
        module.loader("train")
    shuffled, plain = module.train_dataloader(), module.loader("train")
    assert list_values(plain) == list(range(20))
    assert list_values(shuffled) != list(range(20))


def test_nothing_is_converted_or_kept_twice() -> None:
    module = make_data(shuffle=True)
    shuffled, plain = module.train_dataloader(), module.loader("train")
    assert isinstance(shuffled, MemoryLoader)
    assert isinstance(plain, MemoryLoader)
    assert shuffled.images is plain.images
    assert module.loader("train") is plain
    assert module.train_dataloader() is shuffled


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_images_take_as_floats_is_let_go_of_until_a_batch_is_asked_for(shuffle: bool) -> None:
    module = make_data(shuffle=shuffle)
    before = list_values(module.train_dataloader()), list_values(module.val_dataloader())
    floats = [weakref.ref(get_cached_images(module, name)) for name in ("train", "val")]
    module.release()
    assert [found() for found in floats] == [None, None]
    assert (list_values(module.train_dataloader()), list_values(module.val_dataloader())) == before


def get_cached_images(module: DataModule, name: str) -> Tensor:
    loader = module.loader(name)
    assert isinstance(loader, MemoryLoader)
    assert loader.images.floats is not None
    return loader.images.floats


# ----- balance


def make_rare(odd: int = 2, **options: Any) -> DataModule:
    """Twenty images, of which few are odd."""
    labels = [1] * odd + [0] * (20 - odd)
    source = UserSource(train=make_gray_part(range(20), labels), val=make_gray_part(range(30, 36)))
    return DataModule(source, **options)


def test_balanced_weights_are_the_images_over_classes_times_count() -> None:
    assert make_rare(2).balanced_class_weights("loss.class_weights") == [20 / (2 * 18), 20 / (2 * 2)]
    held_out = make_rare(5, fold=1)  # of 16 images, 4 are odd
    assert held_out.balanced_class_weights("loss.class_weights") == [16 / (2 * 12), 16 / (2 * 4)]


def test_a_class_without_training_images_has_no_balance() -> None:
    line = "data.sampler=balanced: expected a training image of every class; got none of odd. Type data.sampler=null."
    with pytest.raises(UserError) as raised:
        make_rare(0, sampler="balanced").train_dataloader()
    assert str(raised.value) == line


def test_a_sampler_draws_classes_equally_often_from_the_training_part_alone() -> None:
    module = make_rare(2, sampler="balanced", shuffle=None, seed=7)
    assert module.shuffle
    loader, labels = module.train_dataloader(), []
    for epoch in range(200):
        loader.batch_sampler.set_epoch(epoch)
        labels += [label for batch in loader for label in batch["label"].tolist()]
    assert len(labels) == 200 * 20
    assert sum(labels) == pytest.approx(2000, abs=5 * (4000 * 0.25) ** 0.5)  # five standard deviations
    assert list_values(module.loader("train")) == list(range(20))  # what is evaluated has each image once
    assert list_values(module.val_dataloader()) == list(range(30, 36))


def test_each_draw_of_an_image_is_augmented_by_numbers_of_its_own() -> None:
    module = make_rare(1, sampler="balanced", augmentation=Shade())
    (batch,) = module.train_dataloader()
    augmented = module.augment(batch, 0)["image"][:, 0, 0, 0]
    rare = augmented[batch["label"] == 1]
    assert len(rare) > 3
    assert len({*rare.tolist()}) == len(rare)
    assert torch.equal(augmented, module.augment(batch, 0)["image"][:, 0, 0, 0])
    some: Any = {name: batch[name][5:8] for name in ("image", "label", "index", "draw")}
    assert torch.equal(module.augment(some, 0)["image"][:, 0, 0, 0], augmented[5:8])


class Shade:
    """Replace each image by its random number."""

    draws = 1

    def __call__(self, image: Tensor, uniform: Tensor) -> Tensor:
        return uniform[:, :, None, None].expand_as(image)


@pytest.mark.parametrize(("batch_size", "lengths"), [(None, [20]), (8, [8, 8, 4]), (100, [20])])
def test_no_batch_size_gives_the_whole_set_a_step(batch_size: int | None, lengths: list[int]) -> None:
    assert [len(batch["label"]) for batch in make_data(batch_size=batch_size).train_dataloader()] == lengths


def test_the_seed_of_the_run_orders_and_does_not_cut() -> None:
    one, other = (make_data(fold=1, shuffle=True, seed=seed) for seed in (1, 2))
    assert one.parts["train"].names == other.parts["train"].names
    assert list_values(one.train_dataloader()) != list_values(other.train_dataloader())
    assert make_data(fold=1, split_seed=1).parts["train"].names != one.parts["train"].names


def test_lightning_fits_validates_and_tests_from_it(tmp_path: Path) -> None:
    class Counting(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.counts = {"train": 0, "val": 0, "test": 0}

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            self.counts["train"] += len(batch["label"])
            return self.weight * batch["image"].mean()

        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            self.counts["val"] += len(batch["label"])

        def test_step(self, batch: Batch, batch_idx: int) -> None:
            self.counts["test"] += len(batch["label"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = make_trainer(tmp_path, epochs=2)
    module, network = make_data(fold=0, batch_size=4, shuffle=True), Counting()
    trainer.fit(network, datamodule=module)
    trainer.test(network, datamodule=module, verbose=False)
    assert network.counts == {"train": 2 * 16, "val": 2 * 4, "test": 6}


# ----- the fingerprint


def test_the_fingerprint_of_a_tiny_set_stays_the_same_from_release_to_release() -> None:
    found = DataModule(UserSource(train=make_gray_part([1, 2, 3]), val=make_gray_part([4]))).fingerprint()
    assert found == {  # worked out from blake2b alone
        "train": "3773b7ad481d979ab9e98586d3ee7753",
        "val": "c1669fc2a1ad1da02698cdd7f07f425c",
        "all": "0c3ebdf0b4c0291ae4f9b436b11eb413",
    }


pixel_lists = st.lists(st.integers(0, 255), min_size=2, max_size=12, unique=True)


@given(pixel_lists, st.integers(1, 20), st.booleans(), st.integers(0, 99), st.integers(0, 4))
def test_equal_data_have_equal_fingerprints_however_they_are_loaded(
    pixels: list[int], batch_size: int, shuffle: bool, seed: int, workers: int
) -> None:
    loaded = make_data(pixels, batch_size=batch_size, shuffle=shuffle, seed=seed, workers=workers)
    assert loaded.fingerprint() == make_data(pixels).fingerprint()


@given(pixel_lists, st.data())
def test_one_pixel_more_or_less_bright_is_another_fingerprint_of_its_part_and_of_all(
    pixels: list[int], draw: st.DataObject
) -> None:
    one, other = make_gray_part(pixels), make_gray_part(pixels)
    assert isinstance(other.images, Tensor)
    place = draw.draw(st.integers(0, other.images.numel() - 1))
    other.images.view(-1)[place] ^= 1 << draw.draw(st.integers(0, 7))
    other = make_part(other.images, one.labels, one.names)
    found = [DataModule(UserSource(train=train, val=make_gray_part([9]))).fingerprint() for train in (one, other)]
    assert found[0]["val"] == found[1]["val"]
    assert found[0]["train"] != found[1]["train"]
    assert found[0]["all"] != found[1]["all"]


@given(pixel_lists, st.data())
def test_one_other_label_is_another_fingerprint(pixels: list[int], draw: st.DataObject) -> None:
    labels = [value % 2 for value in pixels]
    place = draw.draw(st.integers(0, len(labels) - 1))
    others = [1 - label if index == place else label for index, label in enumerate(labels)]
    one, other = (
        DataModule(UserSource(train=make_gray_part(pixels, each), val=make_gray_part([9]))) for each in (labels, others)
    )
    assert one.fingerprint()["all"] != other.fingerprint()["all"]


@given(pixel_lists, st.randoms())
def test_another_order_is_another_fingerprint_since_full_batches_sum_in_it(pixels: list[int], chance: Any) -> None:
    shuffled = list(pixels)
    chance.shuffle(shuffled)
    same = make_data(pixels).fingerprint()["all"] == make_data(shuffled).fingerprint()["all"]
    assert same == (shuffled == pixels)


def test_every_fold_and_every_other_cut_has_its_own_fingerprint() -> None:
    cuts: list[dict[str, Any]] = [{}, {"split": "holdout"}, {"split": "holdout", "split_seed": 1}]
    cuts += [{"fold": fold, "folds": folds} for folds in (4, 5) for fold in range(folds)]
    assert len({make_data(**cut).fingerprint()["all"] for cut in cuts}) == len(cuts)


def test_parts_that_trade_places_are_another_fingerprint() -> None:
    one, other = make_data([1, 2], [3, 4]), make_data([3, 4], [1, 2])
    assert one.fingerprint()["train"] == other.fingerprint()["val"]
    assert one.fingerprint()["all"] != other.fingerprint()["all"]


def test_a_pixel_that_moves_to_another_row_is_another_image() -> None:
    image = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    assert digest(image) != digest(image.reshape(3, 4, 1))
    assert digest(image) != digest(image.transpose(1, 2))
    assert digest(image) == digest(image.transpose(1, 2).contiguous().transpose(1, 2))
