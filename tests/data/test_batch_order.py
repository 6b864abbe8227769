"""Orders of images: permutations of their own for each seed and epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.data.batch_order import BatchOrder
from tests.support.batches import LENGTH, make_order


@given(st.integers(1, 200), st.integers(1, 250), st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_an_epochs_order_is_a_permutation_cut_into_full_batches_and_a_last_one(
    length: int, batch_size: int, seed: int, epoch: int
) -> None:
    drawn = BatchOrder(length=length, batch_size=batch_size, shuffle=True, seed=seed)
    drawn.set_epoch(epoch)
    batches = list(drawn)
    assert sorted(index for batch in batches for index in batch) == list(range(length))
    assert len(batches) == len(drawn) == -(-length // batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= batch_size


def test_orders_differ_between_epochs_and_between_seeds() -> None:
    orders = set()
    for seed in range(10):
        for epoch in range(10):
            drawn = make_order(seed=seed)
            drawn.set_epoch(epoch)
            orders.add(tuple(drawn.indices().tolist()))
    assert len(orders) == 100


def test_each_image_comes_first_about_as_often() -> None:
    first = torch.zeros(LENGTH)
    drawn = make_order(seed=3)
    for epoch in range(LENGTH * 100):
        drawn.set_epoch(epoch)
        first[drawn.indices()[0]] += 1
    assert 60 < int(first.min()) <= int(first.max()) < 140  # 100 each are expected, give or take 10


def test_the_order_of_an_epoch_stays_the_same_from_release_to_release() -> None:
    drawn = BatchOrder(length=10, batch_size=None, shuffle=True, seed=123)
    drawn.set_epoch(2)
    assert list(drawn) == [[3, 6, 5, 9, 0, 1, 7, 4, 2, 8]]
