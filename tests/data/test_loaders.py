"""Batches: their bits, where an epoch goes on, and what they leave alone; from memory and decoded by workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from copycat.config.errors import UserError
from copycat.data import loaders
from copycat.data.loaders import Batch, FloatImages, MemoryLoader, ResumableLoader
from tests.support.batches import (
    IMAGES,
    KINDS,
    LABELS,
    LENGTH,
    are_equal,
    epoch_of,
    equals_expected,
    make_batches_by_hand,
    make_loader,
    make_order,
)
from tests.support.trainers import make_trainer

# ----- in file order


@pytest.mark.parametrize(
    ("kind", "batch_size"),
    [(kind, batch_size) for kind in ("memory", 0) for batch_size in (None, 1, 5, 22, 23, 24, 1000)]
    + [(kind, batch_size) for kind in (1, 2) for batch_size in (None, 5)],
)
def test_batches_in_file_order_have_the_bits_of_the_yardsticks(kind: str | int, batch_size: int | None) -> None:
    loader = make_loader(kind, shuffle=False, batch_size=batch_size)
    expected = make_batches_by_hand(list(range(LENGTH)), batch_size or LENGTH)
    assert equals_expected(epoch_of(loader, 3), expected)
    assert len(loader) == len(expected)


def test_every_value_of_a_byte_becomes_the_float_that_division_gives() -> None:
    bytes_ = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(FloatImages(bytes_)[:].numpy().ravel(), expected)


def test_batches_from_memory_are_views_of_one_conversion_in_every_epoch() -> None:
    loader = make_loader("memory", shuffle=False)
    assert isinstance(loader, MemoryLoader)
    whole = loader.images.floats
    assert whole is not None
    for epoch in range(3):
        for place, batch in enumerate(epoch_of(loader, epoch)):
            assert batch["image"].data_ptr() == whole[5 * place].data_ptr()
            assert batch["label"].data_ptr() == LABELS[5 * place].data_ptr()


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_given_where_they_are_asked_for_and_copied_there_once(shuffle: bool) -> None:
    loader, device = make_loader("memory", shuffle=shuffle), torch.device("meta")
    assert isinstance(loader, MemoryLoader)
    before = epoch_of(loader, 0)
    loader.to_device(device)
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    for batch, other in zip(first, before, strict=True):
        assert batch.keys() == other.keys()
        for name in ("image", "label", "index"):
            assert batch[name].device == device
            assert batch[name].shape == other[name].shape
    assert all((a["image"] is b["image"]) is not shuffle for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_who_writes_to_batches_that_are_kept_is_told_so_before_the_next_epoch(device: str) -> None:
    loader = make_loader("memory", shuffle=False)
    assert isinstance(loader, MemoryLoader)
    loader.to_device(torch.device(device))
    epoch_of(loader, 0)[1]["image"].mul_(2)
    with pytest.raises(UserError, match="leave their input as it is"):
        epoch_of(loader, 1)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_set_too_large_as_float_is_converted_by_the_batch_to_equal_bits(
    shuffle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = epoch_of(make_loader("memory", shuffle=shuffle), 1)
    monkeypatch.setattr(loaders, "MAX_FLOAT_BYTES", IMAGES.numel() * 4 - 1)
    loader = make_loader("memory", shuffle=shuffle)
    assert isinstance(loader, MemoryLoader)
    assert loader.images.floats is None
    assert equals_expected(epoch_of(loader, 1), [(batch["image"], batch["label"]) for batch in small])


# ----- in a new order each epoch


@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_batches_have_the_yardsticks_bits_for_the_order_of_seed_and_epoch(kind: str | int) -> None:
    loader = make_loader(kind, seed=7)
    for epoch in (0, 4, 1):  # whatever epochs came before
        expected = make_order(seed=7)
        expected.set_epoch(epoch)
        assert equals_expected(
            epoch_of(loader, epoch), make_batches_by_hand([index for batch in expected for index in batch], 5)
        )


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_image_comes_with_its_place_in_the_part(kind: str | int, shuffle: bool) -> None:
    for batch in epoch_of(make_loader(kind, shuffle=shuffle), 2):
        assert batch["index"].dtype == torch.int64
        assert torch.equal(batch["image"], IMAGES[batch["index"]].float().div(255))
        assert torch.equal(batch["label"], LABELS[batch["index"]])


# ----- going on inside an epoch


def first_of(loader: ResumableLoader, epoch: int, count: int) -> Iterator[Batch]:
    """Start an epoch and take so many batches of it; what follows is still to be had from what this returns."""
    batches = iter(loader)
    loader.batch_sampler.set_epoch(epoch)
    for _ in range(count):
        next(batches)
    return batches


@given(
    st.sampled_from(["memory", 0]),
    st.integers(1, LENGTH),
    st.integers(1, LENGTH + 1),
    st.booleans(),
    st.integers(0, 1000),
    st.data(),
)
def test_a_loader_that_was_given_a_state_gives_the_rest_of_that_epoch_once(
    kind: str | int, length: int, batch_size: int, shuffle: bool, epoch: int, data: st.DataObject
) -> None:
    options = {"length": length, "batch_size": batch_size, "shuffle": shuffle}
    first = make_loader(kind, **options)
    count = data.draw(st.integers(0, len(first)))
    _rest = first_of(first, epoch, count)
    state = first.state_dict()
    if count:  # an epoch that gave nothing has not begun
        assert state == {"epoch": epoch, "given": count}
    other = make_loader(kind, **options)
    other.load_state_dict(state)
    assert other.state_dict() == state
    whole = epoch_of(make_loader(kind, **options), epoch)
    assert are_equal(epoch_of(other, epoch), whole[count:])
    assert other.state_dict() == {"epoch": epoch, "given": len(whole)}
    assert are_equal(epoch_of(other, epoch), whole)
    assert are_equal(epoch_of(other, epoch + 1), epoch_of(make_loader(kind, **options), epoch + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_another_epoch_changes_nothing_then_or_later(kind: str | int) -> None:
    loader = make_loader(kind)
    loader.load_state_dict({"epoch": 3, "given": 2})
    for epoch in (4, 3):
        assert are_equal(epoch_of(loader, epoch), epoch_of(make_loader(kind), epoch))


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterator_that_is_made_and_never_asked_uses_no_state_up(kind: str | int) -> None:
    loader = make_loader(kind)
    loader.load_state_dict({"epoch": 0, "given": 4})
    iter(loader)  # as Lightning does, to see whether it can be iterated
    assert len(epoch_of(loader, 0)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_that_was_told_and_has_not_begun_does_not_count_as_given(kind: str | int) -> None:
    loader = make_loader(kind)
    epoch_of(loader, 0)
    loader.batch_sampler.set_epoch(1)
    assert loader.state_dict() == {"epoch": 0, "given": 5}


# ----- what is left alone


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_does_not_depend_on_torchs_generator_and_draws_nothing_from_it(kind: str | int) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        loader = make_loader(kind)
        found.append(epoch_of(loader, 0))
        epoch_of(loader, 1)
        assert torch.equal(torch.get_rng_state(), before)
    assert equals_expected(found[0], [(batch["image"], batch["label"]) for batch in found[1]])


# ----- under Lightning


class BatchRecorder(pl.LightningModule):
    """Takes down what comes, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[tuple[str, int], list[Tensor]] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.setdefault(("train", self.current_epoch), []).append(batch["image"].clone())
        return self.weight * batch["image"].mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen.setdefault(("val", self.current_epoch), []).append(batch["image"].clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_lightning_shows_each_epoch_in_its_own_order_and_warns_of_nothing(kind: str | int, tmp_path: Path) -> None:
    module = BatchRecorder()
    make_trainer(tmp_path, epochs=3).fit(module, make_loader(kind), make_loader(kind, shuffle=False))
    floats = IMAGES.float().div(255)
    for epoch in range(3):
        expected = make_order()
        expected.set_epoch(epoch)
        assert torch.equal(torch.cat(module.seen["train", epoch]), floats[expected.indices()])
        assert torch.equal(torch.cat(module.seen["val", epoch]), floats)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_goes_on_from_a_checkpoint_shows_the_orders_of_the_later_epochs(
    kind: str | int, tmp_path: Path
) -> None:
    first = make_trainer(tmp_path, epochs=2)
    first.fit(BatchRecorder(), make_loader(kind), make_loader(kind, shuffle=False))
    first.save_checkpoint(tmp_path / "a.ckpt")
    module = BatchRecorder()
    make_trainer(tmp_path, epochs=4).fit(
        module, make_loader(kind), make_loader(kind, shuffle=False), ckpt_path=tmp_path / "a.ckpt"
    )
    assert sorted(epoch for stage, epoch in module.seen if stage == "train") == [2, 3]
    for epoch in (2, 3):
        expected = make_order()
        expected.set_epoch(epoch)
        assert torch.equal(torch.cat(module.seen["train", epoch]), IMAGES.float().div(255)[expected.indices()])


class SaveAfterStep(pl.Callback):
    def __init__(self, step: int, file: Path) -> None:
        self.step, self.file = step, file

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_goes_on_inside_an_epoch_shows_what_is_left_of_it(kind: str | int, tmp_path: Path) -> None:
    saved = tmp_path / "a.ckpt"  # after two of the five batches of epoch 1
    make_trainer(tmp_path, SaveAfterStep(7, saved), epochs=2).fit(
        BatchRecorder(), make_loader(kind), make_loader(kind, shuffle=False)
    )
    module = BatchRecorder()
    make_trainer(tmp_path, epochs=3).fit(module, make_loader(kind), make_loader(kind, shuffle=False), ckpt_path=saved)
    for epoch, count in ((1, 2), (2, 0)):
        expected = make_order()
        expected.set_epoch(epoch)
        left = expected.indices()[count * 5 :]
        assert torch.equal(torch.cat(module.seen["train", epoch]), IMAGES.float().div(255)[left])
