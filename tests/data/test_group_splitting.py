"""Groups in parts: none in two of them, with the classes in about the shares of the whole."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.data.group_splitting import assign_groups
from copycat.data.split import Part
from copycat.data.splitting import split
from tests.support.parts import make_part

DEFAULTS: dict[str, Any] = {"how": None, "holdout": 0.2, "folds": 5, "fold": None, "seed": 0}


def make_grouped_part(members: list[tuple[int, str, int]], *, of: str = "train") -> Part:
    """Images of one pixel from (label, group, picture); equal pictures are equal images."""
    images = torch.tensor([[n // 256, n % 256, 7] for _, _, n in members], dtype=torch.uint8).reshape(-1, 3, 1, 1)
    part = make_part(images, [label for label, _, _ in members], [f"{of}[{i}]" for i in range(len(members))])
    return replace(part, groups=[group for _, group, _ in members])


def make_animals(counts: dict[int, int], *, each: int, first: int = 0) -> Part:
    """Animals of each class, with `each` different images of each animal."""
    animals = [(label, f"{label}-{animal}") for label, count in counts.items() for animal in range(count)]
    members = [(label, name, 0) for label, name in animals for _ in range(each)]
    return make_grouped_part([(label, name, first + place) for place, (label, name, _) in enumerate(members)])


def split_pool(pool: Part, **how: Any) -> dict[str, Part]:
    return split({"train": pool}, **{**DEFAULTS, **how})


def units_of(part: Part) -> set[str]:
    return set(part.groups or ())


@st.composite
def grouped_images(draw: Callable[..., Any]) -> Part:
    """Groups of any sizes, of one class or several, some with images in common."""
    groups = draw(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=4, max_size=30))
    members = [(label, f"g{number}") for number, labels in enumerate(groups) for label in labels]
    shared = draw(st.lists(st.integers(0, 400), min_size=len(members), max_size=len(members)))
    return make_grouped_part([(label, group, n) for (label, group), n in zip(members, shared, strict=True)])


# ----- for every cut


@given(grouped_images(), st.integers(2, 5), st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.booleans())
def test_no_group_and_no_image_is_in_two_parts_and_none_is_lost(
    pool: Part, folds: int, seed: int, share: float, by_folds: bool
) -> None:
    try:
        cuts = [
            split_pool(pool, seed=seed, folds=folds, holdout=share, fold=fold)
            for fold in (range(folds) if by_folds else [None])
        ]
    except UserError:  # too few groups of a class
        assume(False)
        raise
    validated: list[str] = []
    for parts in cuts:
        train, val = parts["train"], parts["val"]
        assert not units_of(train) & units_of(val)
        assert not set(train.digests) & set(val.digests)
        assert sorted([*train.names, *val.names], key=pool.names.index) == pool.names
        assert set(train.labels.tolist()) == set(pool.labels.tolist())
        group_of = dict(zip(pool.names, pool.groups or (), strict=True))
        assert [group_of[name] for name in val.names] == val.groups
        validated += val.names
    if by_folds:
        assert sorted(validated) == sorted(pool.names)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 8)), min_size=60, max_size=120),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_classes_keep_the_shares_of_the_whole(groups: list[tuple[int, int]], seed: int, by_folds: bool) -> None:
    sizes = [[size for label, size in groups if label == one] for one in range(3)]
    assume(all(len(each) >= 12 for each in sizes))
    members = [(label, f"g{number}") for number, (label, size) in enumerate(groups) for _ in range(size)]
    pool = make_grouped_part([(label, group, n) for n, (label, group) in enumerate(members)])
    for parts in (
        [split_pool(pool, seed=seed, fold=fold) for fold in range(5)] if by_folds else [split_pool(pool, seed=seed)]
    ):
        for label, each in enumerate(sizes):
            count = int((parts["val"].labels == label).sum())
            assert abs(count - 0.2 * sum(each)) <= max(each)  # to within the largest group


def test_the_assignment_is_that_of_scikit_learn_where_groups_have_one_class() -> None:
    # scikit-learn 1.9.1: StratifiedGroupKFold(4), whose order of such groups is the same
    sizes = [1, 17, 21, 10, 12, 8, 9, 14, 18, 11, 6, 23, 16, 2, 19, 20, 3, 7, 24, 5, 4, 13, 22, 15]
    label = [1, 2, 1, 0, 1, 1, 0, 2, 1, 2, 0, 1, 0, 0, 1, 1, 1, 1, 2, 1, 1, 2, 2, 1]
    theirs = [3, 3, 3, 2, 3, 1, 0, 1, 0, 3, 3, 1, 1, 3, 0, 2, 0, 1, 0, 3, 2, 1, 2, 2]
    counts = np.zeros((24, 3), np.int64)
    counts[np.arange(24), label] = sizes
    assert assign_groups(counts, [0.25] * 4) == theirs


def test_a_large_group_of_all_classes_does_not_come_last() -> None:
    pool = make_grouped_part([(n % 2, f"g{n // 2 if n < 40 else 20 + (n - 40) // 20}", n) for n in range(80)])
    sizes = [len(split_pool(pool, fold=fold, folds=4)["val"]) for fold in range(4)]  # 20 groups of 2, two of 20
    assert sizes == [20, 20, 20, 20]


# ----- seeds


def test_seeds_cut_differently_and_the_names_of_groups_and_files_do_not_matter() -> None:
    pool = make_animals({0: 10, 1: 10}, each=3)
    renamed = replace(pool, groups=[f"x{g[::-1]}" for g in pool.groups or ()], names=pool.names[::-1])
    cuts = set()
    for seed in range(30):
        val = split_pool(pool, seed=seed)["val"]
        assert val.digests == split_pool(renamed, seed=seed)["val"].digests
        cuts.add(tuple(val.digests))
    assert len(cuts) > 25


def test_the_cut_of_a_seed_stays_the_same_from_release_to_release() -> None:
    pool = make_animals({0: 6, 1: 6}, each=2)
    assert sorted(units_of(split_pool(pool, seed=7, holdout=0.3)["val"])) == ["0-0", "0-5", "1-0", "1-5"]
    assert sorted(units_of(split_pool(pool, seed=7, fold=1, folds=3)["val"])) == ["0-0", "0-4", "1-4", "1-5"]


# ----- official parts


def test_a_test_part_of_all_groups_or_of_all_images_leaves_none_to_train_on() -> None:
    train = make_animals({0: 4, 1: 4}, each=2)
    for first, key in ((100, "data.groups"), (0, "data.split")):
        parts = {"train": train, "test": make_animals({0: 4, 1: 4}, each=2, first=first)}
        with pytest.raises(UserError, match=rf"^{key}: expected training images .* it has all of them\.$"):
            split(parts, **{**DEFAULTS, "how": "holdout"})


def test_images_of_groups_that_the_test_part_has_are_set_aside() -> None:
    train = make_animals({0: 6, 1: 6}, each=2)
    test = replace(make_animals({0: 1, 1: 1}, each=2, first=500), groups=["0-3", "0-3", "1-0", "x"])
    parts = split({"train": train, "test": test}, **{**DEFAULTS, "how": "holdout"})
    assert not (units_of(parts["train"]) | units_of(parts["val"])) & units_of(test)
    assert len(parts["train"].set_aside) == 4
    assert len(parts["train"]) + len(parts["val"]) == 20


def test_official_parts_stay_as_they_are_though_groups_are_in_both() -> None:
    given_parts = {"train": make_animals({0: 2, 1: 2}, each=2), "val": make_animals({0: 2, 1: 2}, each=1, first=90)}
    assert split(given_parts, **{**DEFAULTS, "how": "official"}) == given_parts


# ----- refusals


@pytest.mark.parametrize(
    ("counts", "how", "line"),
    [
        (
            {0: 9, 1: 3},
            {"fold": 0},
            r"5 separate groups at least, as .*; that of train\[18\] is in 1-0, 1-1, 1-2 alone\. Type data\.folds=3\.",
        ),
        (
            {0: 9, 1: 1},
            {},
            r"2 separate groups at least, .* that of train\[18\] is in 1-0 alone\.",
        ),
    ],
)
def test_a_class_with_too_few_groups_is_one_clear_line(counts: dict[int, int], how: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.groups: expected every class in {line}"):
        split_pool(make_animals(counts, each=2), **how)


def test_groups_with_images_in_common_count_as_one() -> None:
    pool = make_grouped_part([(0, "a", 1), (0, "b", 1), (1, "a", 2), (1, "b", 3)])
    with pytest.raises(UserError, match=r"2 separate groups at least, .* is in a, b alone"):
        split_pool(pool)
