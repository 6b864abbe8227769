"""Orders of images: permutations of their own for each seed and epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import WeightedRandomSampler

from copycat.data.batch_order import BatchOrder, Share
from copycat.data.streams import derive_seed
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


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.booleans())
def test_the_shares_of_all_ranks_make_up_each_batch(length: int, batch_size: int, ranks: int, shuffle: bool) -> None:
    def of(share: Share) -> BatchOrder:
        return BatchOrder(length=length, batch_size=batch_size, shuffle=shuffle, seed=5, share=share)

    orders = [of(Share(rank, ranks)) for rank in range(ranks)]
    for number, (whole, *parts) in enumerate(zip(of(Share()), *orders, strict=True)):
        empty = [order.share.is_empty(order.images_in(number)) for order in orders]
        kept = [part for part, is_empty in zip(parts, empty, strict=True) if not is_empty]
        assert [index for part in kept for index in part] == whole
        assert all(part == whole[:1] for part, is_empty in zip(parts, empty, strict=True) if is_empty)
        assert max(map(len, parts)) - min(map(len, kept)) <= 1
        assert not empty[0]


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


# ----- draws with weights

WEIGHTS = torch.tensor([0.1] * 20 + [1.0, 0.0, 1.0], dtype=torch.float64)


@given(st.integers(1, 250), st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_weighted_draws_are_those_of_torchs_own_sampler_for_the_generator_of_seed_and_epoch(
    batch_size: int, seed: int, epoch: int
) -> None:
    drawn = make_order(batch_size=batch_size, seed=seed, weights=WEIGHTS)
    drawn.set_epoch(epoch)
    generator = torch.Generator().manual_seed(derive_seed("order", seed, epoch))
    expected = [*WeightedRandomSampler(WEIGHTS.tolist(), LENGTH, generator=generator)]
    assert [index for batch in drawn for index in batch] == expected
    assert list(drawn.batches(2)) == list(drawn)[2:]
    assert len(list(drawn)) == len(drawn) == -(-LENGTH // batch_size)


def test_images_are_drawn_in_proportion_to_their_weights() -> None:
    drawn, counts = make_order(seed=3, weights=WEIGHTS), torch.zeros(LENGTH)
    for epoch in range(1000):
        drawn.set_epoch(epoch)
        counts += drawn.indices().bincount(minlength=LENGTH)
    expected = WEIGHTS / WEIGHTS.sum() * 1000 * LENGTH
    assert (counts - expected).abs().max() <= 5 * expected.max().sqrt()  # five standard deviations of the largest
    assert counts[21] == 0


def test_the_weighted_draws_of_an_epoch_stay_the_same_from_release_to_release() -> None:
    drawn = BatchOrder(length=10, batch_size=None, shuffle=True, seed=123, weights=WEIGHTS[13:].clone())
    drawn.set_epoch(2)
    assert list(drawn) == [[9, 7, 7, 7, 9, 0, 9, 9, 9, 1]]
