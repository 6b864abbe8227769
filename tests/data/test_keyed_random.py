"""Orders and numbers of very many images, computed for each place alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from copycat.data import keyed_random
from copycat.data.augmentation.transforms import UniformNumbers
from copycat.data.batch_order import BatchOrder
from copycat.data.datamodule import DataModule
from copycat.data.keyed_random import ClassDraws, KeyedDraws, KeyedPermutation, hash_words, keyed_uniform
from copycat.data.loaders import FloatImages, MemoryLoader
from copycat.data.split import Part

KEYS = st.integers(0, 2**63 - 1)


@pytest.fixture
def _keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take 10 images for very many."""
    monkeypatch.setattr(keyed_random, "KEYED_ABOVE", 10)


@given(st.integers(1, 5000), KEYS)
def test_an_order_is_a_permutation_of_which_each_slice_is_computed_alone(length: int, key: int) -> None:
    order = KeyedPermutation(length, key)
    whole = order[:]
    assert whole.dtype == torch.int64
    assert torch.equal(whole.sort().values, torch.arange(length))
    middle = length // 3
    assert torch.equal(order[middle : middle + 7], whole[middle : middle + 7])


@settings(max_examples=5, deadline=None)
@given(st.integers(2**20 - 3, 2**20 + 3), KEYS)
def test_an_order_of_a_million_images_is_a_permutation(length: int, key: int) -> None:
    assert int(KeyedPermutation(length, key)[:].bincount(minlength=length).max()) == 1


def test_places_far_out_are_computed_at_once() -> None:
    length = 10**12
    found = KeyedPermutation(length, 3)[length - 1000 :]
    assert len(found) == len(set(found.tolist())) == 1000
    assert 0 <= int(found.min()) < int(found.max()) < length


def chi_square(counts: Tensor) -> float:
    expected = float(counts.sum()) / counts.numel()
    return float(((counts.double() - expected) ** 2 / expected).sum())


def test_each_image_comes_to_each_place_about_as_often() -> None:
    length, keys = 23, 23 * 200
    counts = torch.zeros(length, length)
    for key in hash_words(np.arange(keys, dtype=np.uint64), 7).tolist():
        counts[torch.arange(length), KeyedPermutation(length, key)[:]] += 1
    freedom = (length - 1) ** 2
    assert abs(chi_square(counts) - freedom) < 5 * (2 * freedom) ** 0.5


def test_neighbors_are_spread_over_the_whole_order() -> None:
    order = KeyedPermutation(100_000, 5)[:].double()
    correlation = torch.corrcoef(torch.stack([order[:-1], order[1:]]))[0, 1]
    assert abs(float(correlation)) < 5 / 100_000**0.5
    assert abs(float(torch.corrcoef(torch.stack([order, torch.arange(100_000.0).double()]))[0, 1])) < 5 / 100_000**0.5


def test_hashed_numbers_are_uniform_in_each_digit() -> None:
    uniform = torch.from_numpy(keyed_uniform(np.arange(100_000, dtype=np.uint64), 11))
    assert 0 <= float(uniform.min()) < float(uniform.max()) < 1
    for shift in (1, 2**8, 2**20):
        counts = (uniform * shift * 64).long().remainder(64).bincount(minlength=64)
        assert abs(chi_square(counts) - 63) < 5 * (2 * 63) ** 0.5


@pytest.mark.usefixtures("_keyed")
def test_orders_differ_between_epochs_and_seeds_and_are_cut_into_the_same_batches() -> None:
    orders = set()
    for seed in range(10):
        for epoch in range(10):
            drawn = BatchOrder(length=50, batch_size=8, shuffle=True, seed=seed)
            drawn.set_epoch(epoch)
            assert isinstance(drawn.sequence(), KeyedPermutation)
            batches = list(drawn)
            assert list(drawn.batches(3)) == batches[3:]
            assert [index for batch in batches for index in batch] == drawn.indices().tolist()
            orders.add(tuple(drawn.indices().tolist()))
    assert len(orders) == 100


def test_orders_and_numbers_up_to_the_threshold_are_torchs() -> None:
    assert keyed_random.KEYED_ABOVE == 2**20  # recorded runs of fewer images depend on it
    order = BatchOrder(length=2**20, batch_size=None, shuffle=True, seed=0)
    assert isinstance(order.sequence(), Tensor)
    order.length += 1
    assert isinstance(order.sequence(), KeyedPermutation)


@pytest.mark.usefixtures("_keyed")
def test_a_loader_resumes_inside_an_epoch_at_the_right_image() -> None:
    images, labels = torch.randint(0, 255, (50, 1, 2, 2), dtype=torch.uint8), torch.arange(50)

    def load() -> MemoryLoader:
        order = BatchOrder(length=50, batch_size=8, shuffle=True, seed=4)
        order.set_epoch(2)
        return MemoryLoader(FloatImages(images), labels, order)

    loader, resumed = load(), load()
    batches = iter(loader)
    seen = [next(batches)["index"] for _ in range(3)]
    resumed.load_state_dict(loader.state_dict())
    rest = [batch["index"] for batch in resumed]
    assert torch.equal(torch.cat([*seen, *rest]), loader.batch_sampler.indices())


@pytest.mark.usefixtures("_keyed")
def test_random_numbers_follow_from_seed_epoch_and_index_alone() -> None:
    drawn = UniformNumbers(length=1000, draws=3, seed=1)
    index = torch.randperm(1000)
    whole = drawn(5, torch.arange(1000))
    assert (whole.dtype, whole.shape) == (torch.float32, (1000, 3))
    assert torch.equal(drawn(5, index), whole[index])
    assert torch.equal(UniformNumbers(length=11, draws=3, seed=1)(5, index), whole[index])
    assert 0 <= float(whole.min()) < float(whole.max()) < 1
    for other in (drawn(6, index), UniformNumbers(length=1000, draws=3, seed=2)(5, index)):
        assert not (other == whole[index]).any(1).any()
    for column in whole.T:
        counts = (column * 10).long().bincount(minlength=10)
        assert abs(chi_square(counts) - 9) < 5 * 18**0.5
    assert abs(float(torch.corrcoef(whole.T).triu(1).abs().max())) < 5 / 1000**0.5


@pytest.mark.parametrize("shuffled", [False, True])
def test_images_of_each_class_are_drawn_by_its_weight(shuffled: bool) -> None:
    labels = torch.tensor([0] * 60 + [2] * 30 + [3] * 10)
    labels = labels[torch.randperm(100, generator=torch.Generator().manual_seed(0))] if shuffled else labels
    draws = ClassDraws(labels, [1 / 60, 9.0, 1 / 30, 2 / 10])
    assert (draws.by_class is None) is not shuffled
    drawn = KeyedDraws(40_000, 9, draws)[:]
    assert torch.equal(KeyedDraws(40_000, 9, draws)[77:99], drawn[77:99])
    of_class = labels[drawn].bincount(minlength=4)
    assert of_class[1] == 0
    assert (of_class - torch.tensor([10_000, 0, 10_000, 20_000])).abs().max() < 5 * 100
    for label in (0, 2, 3):
        counts = drawn.bincount(minlength=100)[labels == label]
        assert abs(chi_square(counts) - (len(counts) - 1)) < 5 * (2 * len(counts)) ** 0.5


class Unequal:
    """Load 40 images of one class and 10 of another."""

    classes: Sequence[str] = ("a", "b")
    synthetic = True

    def load(self) -> dict[str, Part]:
        """Return two equal parts."""
        part = Part(
            images=torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1),
            labels=torch.tensor([0, 0, 0, 0, 1] * 10),
            names=[str(number) for number in range(50)],
            digests=[str(number) for number in range(50)],
        )
        return {"train": part, "val": part}


@pytest.fixture
def indices(_keyed: None) -> Tensor:
    data = DataModule(Unequal(), batch_size=8, sampler="balanced", workers=0)
    return torch.cat([batch["index"] for _ in range(40) for batch in epoch(data)])


def epoch(data: DataModule) -> Iterator[dict[str, Tensor]]:
    loader = data.train_dataloader()
    loader.batch_sampler.set_epoch(loader.batch_sampler.epoch + 1)
    for batch in loader:
        yield dict(batch)  # type: ignore[arg-type]


def test_a_balanced_sampler_draws_classes_equally_often(indices: Tensor) -> None:
    labels = torch.tensor([0, 0, 0, 0, 1] * 10)[indices]
    assert len(indices) == 2000
    assert abs(int(labels.sum()) - 1000) < 5 * 500**0.5
