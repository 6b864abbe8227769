"""Cuts into parts: complete, without leaks, stratified, seeded."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.data.datamodule import DataModule
from copycat.data.lazy_images import LazyImages
from copycat.data.quality import check_data
from copycat.data.sources.cats import Cats
from copycat.data.sources.folder import Folder
from copycat.data.split import Decoder, Part, Subset, digest
from copycat.data.splitting import split
from tests.support.parts import make_part

DEFAULTS: dict[str, Any] = {"how": None, "holdout": 0.2, "folds": 5, "fold": None, "seed": 0}


def make_numbered_part(labels: Sequence[int], pictures: Sequence[int] | None = None, *, of: str = "train") -> Part:
    """Images of one pixel; those with the same number in `pictures` are equal."""
    pictures = pictures if pictures is not None else range(len(labels))
    images = torch.tensor([[n // 65536, n // 256 % 256, n % 256] for n in pictures], dtype=torch.uint8)
    images = images.reshape(-1, 3, 1, 1)
    names = [f"{of}[{index}]" for index in range(len(labels))]
    return make_part(images, labels, names)


def split_pool(pool: Part, **how: Any) -> dict[str, Part]:
    return split({"train": pool}, **{**DEFAULTS, **how})


def list_pixels(part: Part) -> list[tuple[int, ...]]:
    return [tuple(part.images[index].flatten().tolist()) for index in range(len(part))]


def count_labels(part: Part) -> Counter[int]:
    return Counter(part.labels.tolist())


many_labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)
seeds = st.integers(0, 2**32 - 1)
labels_and_pictures = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=1, max_size=50)
"""Duplicates among them, some under two classes."""


@st.composite
def a_cut(draw: Callable[..., Any]) -> tuple[Part, list[dict[str, Part]]]:
    """A pool, and its parts for each fold, or for one hold-out."""
    drawn = draw(labels_and_pictures)
    pool = make_numbered_part([label for label, _ in drawn], [picture for _, picture in drawn])
    how = {"seed": draw(seeds), "folds": draw(st.integers(2, 6)), "holdout": draw(st.floats(0.01, 0.99))}
    folds = range(how["folds"]) if draw(st.booleans()) else [None]
    try:
        return pool, [split_pool(pool, **how, fold=fold) for fold in folds]
    except UserError:
        assume(False)
        raise


# ----- for every cut


@given(a_cut())
def test_parts_are_complete_in_file_order_share_no_picture_and_keep_what_goes_with_it(
    case: tuple[Part, list[dict[str, Part]]],
) -> None:
    pool, cuts = case
    whole = dict(zip(pool.names, zip(list_pixels(pool), pool.labels.tolist(), strict=True), strict=True))
    for parts in cuts:
        train, val = list(parts["train"].names), list(parts["val"].names)
        assert train
        assert val
        assert sorted(train + val, key=pool.names.index) == pool.names
        assert train == sorted(train, key=pool.names.index)
        assert val == sorted(val, key=pool.names.index)
        assert not set(list_pixels(parts["train"])) & set(list_pixels(parts["val"]))  # not even under another name
        for side in parts.values():
            shown = zip(list_pixels(side), side.labels.tolist(), strict=True)
            assert [whole[name] for name in side.names] == list(shown)
            assert [digest(side.images[index]) for index in range(len(side))] == side.digests


def test_images_that_are_decoded_on_demand_are_cut_alike() -> None:
    class OnDemand:
        shape = (20, 3, 1, 1)

        def __getitem__(self, index: int) -> torch.Tensor:
            return in_memory.images[index]

    in_memory = make_numbered_part([0, 1] * 10)
    on_demand: Decoder = OnDemand()
    pool = Part(images=on_demand, labels=in_memory.labels, names=in_memory.names, digests=in_memory.digests)
    for name, side in split_pool(pool, fold=3).items():
        assert isinstance(side.images, Subset)
        assert side.images.shape == (len(side), 3, 1, 1)
        assert list_pixels(side) == list_pixels(split_pool(in_memory, fold=3)[name])


def test_files_that_are_names_too_are_kept_once(tiny: Path) -> None:
    pool = Folder(root=str(tiny / "train"), image_size=8, memory_mb=0).load()["train"]
    for side in split_pool(pool).values():
        assert isinstance(side.images, LazyImages)
        assert side.encoded is side.images
        assert side.names is side.images.files
        assert [pool.names.index(name) for name in side.names] == sorted(map(pool.names.index, side.names))
        assert [digest(side.images[index]) for index in range(len(side))] == side.digests


# ----- folds


@given(labels_and_pictures, st.integers(2, 6), seeds)
def test_each_image_validates_in_exactly_one_fold(drawn: list[tuple[int, int]], folds: int, seed: int) -> None:
    assume(len({picture for _, picture in drawn}) >= folds)
    pool = make_numbered_part([label for label, _ in drawn], [picture for _, picture in drawn])
    validated = [
        name for fold in range(folds) for name in split_pool(pool, fold=fold, folds=folds, seed=seed)["val"].names
    ]
    assert sorted(validated) == sorted(pool.names)


@given(many_labels, st.integers(2, 7), seeds)
def test_folds_differ_by_one_at_most_in_size_and_in_each_class(labels: list[int], folds: int, seed: int) -> None:
    assume(len(labels) >= folds)
    sides = [split_pool(make_numbered_part(labels), fold=fold, folds=folds, seed=seed)["val"] for fold in range(folds)]
    for number in (len, *(lambda side, c=c: count_labels(side)[c] for c in set(labels))):
        assert max(map(number, sides)) - min(map(number, sides)) <= 1


def test_an_image_alone_in_its_class_lands_in_every_fold_as_the_seed_goes() -> None:
    pool = make_numbered_part([0] * 20 + [1])
    found = Counter(
        fold
        for seed in range(200)
        for fold in range(4)
        if count_labels(split_pool(pool, fold=fold, folds=4, seed=seed)["val"])[1]
    )
    assert all(25 < found[fold] < 80 for fold in range(4)), found  # 50 each are expected, give or take 6


# ----- hold-out


@given(many_labels, st.floats(0.05, 0.95), seeds)
def test_hold_out_takes_of_each_class_its_share_but_one_at_least_and_never_all(
    labels: list[int], share: float, seed: int
) -> None:
    assume(max(Counter(labels).values()) > 1)
    held = split_pool(make_numbered_part(labels), holdout=share, seed=seed)["val"]
    for label, size in Counter(labels).items():
        if size == 1:
            assert count_labels(held)[label] == 0
        else:
            assert 1 <= count_labels(held)[label] < size
            assert abs(count_labels(held)[label] - share * size) <= 1 + 1e-9


@given(st.lists(st.integers(20, 60), min_size=1, max_size=5), st.floats(0.1, 0.9), seeds)
def test_hold_out_takes_the_share_of_the_whole_to_within_half_an_image(
    sizes: list[int], share: float, seed: int
) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    held = split_pool(make_numbered_part(labels), holdout=share, seed=seed)["val"]
    assert abs(len(held) - share * len(labels)) <= 0.5 + 1e-9


def test_a_fifth_of_30_classes_of_7_is_held_out_overall_not_a_seventh_of_each() -> None:
    held = split_pool(make_numbered_part([label for label in range(30) for _ in range(7)]), holdout=0.2)["val"]
    assert len(held) == 42
    assert set(count_labels(held).values()) == {1, 2}


def test_many_copies_of_one_image_do_not_drown_the_held_out_part() -> None:
    pool = make_numbered_part([0] * 100, [0] * 50 + list(range(1, 51)))
    for seed in range(20):
        assert len(split_pool(pool, holdout=0.2, seed=seed)["val"]) == 20


def test_of_two_different_images_one_is_held_out_whatever_the_share() -> None:
    for share in (0.01, 0.5, 0.99):
        assert [len(side) for side in split_pool(make_numbered_part([0, 0]), holdout=share).values()] == [1, 1]


# ----- seeds


@given(many_labels, seeds)
def test_the_same_seed_cuts_alike_whatever_files_are_called_and_in_which_order(labels: list[int], seed: int) -> None:
    assume(len(labels) >= 5)
    backwards = make_numbered_part(labels[::-1], range(len(labels))[::-1])
    for name, side in split_pool(make_numbered_part(labels), fold=1, seed=seed).items():
        assert set(list_pixels(side)) == set(list_pixels(split_pool(backwards, fold=1, seed=seed)[name]))


def test_the_cut_of_a_seed_stays_the_same_from_release_to_release() -> None:
    pool = make_numbered_part([0, 1, 2] * 5)
    folds = [[pool.names.index(name) for name in split_pool(pool, fold=f, folds=3)["val"].names] for f in range(3)]
    assert folds == [[2, 9, 10, 13, 14], [4, 5, 6, 7, 12], [0, 1, 3, 8, 11]]
    held = split_pool(pool, holdout=0.3, seed=7)["val"].names
    assert held == ["train[3]", "train[7]", "train[8]", "train[9]"]


def test_seeds_cut_differently_and_each_image_is_held_out_as_often() -> None:
    pool = make_numbered_part([0] * 12 + [1] * 8)
    cuts = [tuple(split_pool(pool, holdout=0.25, seed=seed)["val"].names) for seed in range(400)]
    assert len(set(cuts)) > 300
    often = Counter(name for held in cuts for name in held)
    assert all(70 < often[name] < 130 for name in pool.names), often  # 100 are expected, give or take 9


def test_images_of_different_classes_are_dealt_independently() -> None:
    # were both classes put in order by the same permutation, image i of the one would always go with i of the other
    pool = make_numbered_part([0] * 10 + [1] * 10)
    together = sum(
        {"train[0]", "train[10]"} <= set(split_pool(pool, holdout=0.5, seed=seed)["val"].names) for seed in range(400)
    )
    assert 70 < together < 130, together


@pytest.mark.parametrize("how", [{"fold": 2}, {"how": "holdout"}])
def test_the_cut_does_not_depend_on_torchs_seed_and_draws_nothing(how: dict[str, Any]) -> None:
    pool, found = make_numbered_part([0, 1] * 20), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(split_pool(pool, **how)["val"].names)
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


# ----- which parts come out


def make_official_parts(*names: str) -> dict[str, Part]:
    return {
        name: make_numbered_part([0, 1] * 10, range(100 * place, 100 * place + 20), of=name)
        for place, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("given_parts", "how", "expected"),
    [
        ("train val", {}, "train=train val=val"),
        ("train val test", {}, "train=train val=val test=test"),
        ("train", {}, "train=train val=train"),
        ("train test", {}, "train=train val=train test=test"),
        ("train val", {"how": "official"}, "train=train val=val"),
        ("train val", {"how": "holdout"}, "train=train val=train test=val"),
        ("train val", {"fold": 0}, "train=train val=train test=val"),
        ("train val", {"fold": 0, "how": "folds"}, "train=train val=train test=val"),
        ("train val test", {"fold": 0}, "train=train val=train test=test"),
        ("train", {"fold": 0}, "train=train val=train"),
    ],
)
def test_parts_come_from_official_ones(given_parts: str, how: dict[str, Any], expected: str) -> None:
    parts = split(make_official_parts(*given_parts.split()), **{**DEFAULTS, **how})
    origin = {name: side.names[0].partition("[")[0] for name, side in parts.items()}
    assert " ".join(f"{name}={of}" for name, of in origin.items()) == expected


def test_official_parts_stay_as_they_are() -> None:
    parts = make_official_parts("train", "val")
    assert all(side is parts[name] for name, side in split(parts, **DEFAULTS).items())


# ----- what cannot be cut


@pytest.mark.parametrize(
    ("pool", "how", "line"),
    [
        (
            make_numbered_part([0, 1, 0]),
            {"fold": 0},
            "data.folds: expected at most 3, the number of different images; got 5.",
        ),
        (
            make_numbered_part([0] * 9, [7] * 9),
            {"fold": 4},
            "data.folds: expected at most 1, the number of different images; got 5.",
        ),
        (
            make_numbered_part([0, 1, 2]),
            {},
            "data.split=holdout: expected two different images of a class at least; got none such.",
        ),
        (
            make_numbered_part([0] * 9, [7] * 9),
            {"how": "holdout"},
            "data.split=holdout: expected two different images of a class at least; got none such.",
        ),
        (
            make_numbered_part([0, 1]),
            {"how": "official"},
            "data.split=official: expected a source with a validation part. Type data.split=holdout.",
        ),
    ],
)
def test_too_few_images_are_one_clear_line(pool: Part, how: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as raised:
        split_pool(pool, **how)
    assert str(raised.value) == line


@given(many_labels, st.integers(2, 6), st.data())
def test_whether_a_set_is_too_small_does_not_depend_on_the_fold(labels: list[int], folds: int, data: Any) -> None:
    fold = data.draw(st.integers(0, folds - 1))
    if len(labels) < folds:
        with pytest.raises(UserError):
            split_pool(make_numbered_part(labels), fold=fold, folds=folds)
    else:
        assert len(split_pool(make_numbered_part(labels), fold=fold, folds=folds)["val"]) in (
            len(labels) // folds,
            -(-len(labels) // folds),
        )


# ----- the real data


@pytest.mark.usefixtures("cats_folder")
def test_the_50_are_the_test_part_of_the_cats_folds_and_their_duplicate_is_set_aside() -> None:
    for fold in range(5):
        data = DataModule(Cats(), fold=fold)
        assert len(data.parts["test"]) == 50
        assert sum(len(data.parts[name]) for name in ("train", "val")) == 208
        assert "train[146]" not in [*data.parts["train"].names, *data.parts["val"].names]
        found = check_data(data)
        assert found.across == []
        assert "1 left out of train, as test has it: train[146]" in found.warnings


# ----- several classes an image


@given(st.integers(2, 5), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_images_of_several_classes_are_divided_into_parts_of_one_size_with_all_classes_alike(
    folds: int, seed: int, draw: int
) -> None:
    shares = torch.tensor([0.5, 0.2, 0.7])
    labels = (torch.rand(100, 3, generator=torch.Generator().manual_seed(draw)) < shares).long()
    assume(bool((labels.sum(0) >= folds).all()))
    pool = make_part(torch.arange(300, dtype=torch.int32).view(100, 3, 1, 1).to(torch.uint8), labels)
    assume(len(set(pool.digests)) == 100)
    parts = [split_pool(pool, folds=folds, fold=fold, seed=seed)["val"] for fold in range(folds)]
    assert sorted(name for part in parts for name in part.names) == sorted(pool.names)
    for part in parts:
        assert abs(len(part) - 100 / folds) <= 2
        assert (part.labels.sum(0) - labels.sum(0) / folds).abs().max() <= 2
        assert torch.equal(part.labels, labels[[pool.names.index(name) for name in part.names]])


def test_a_class_of_too_few_images_for_its_parts_is_one_clear_line() -> None:
    labels = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 0]])
    pool = make_part(torch.arange(12, dtype=torch.uint8).view(4, 3, 1, 1), labels)
    with pytest.raises(UserError, match=r"data\.split: expected every class on 2 different images.*of image 2 is on 1"):
        split_pool(pool, holdout=0.5)
