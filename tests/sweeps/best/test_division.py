"""Divisions for nested cross-validation: what validates and tests a selection trains nothing in it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.data.split import Part
from copycat.sweeps.best.division import (
    FINAL,
    INNER_FOLDS,
    MIN_IMAGES,
    Division,
    divide,
    final_column,
    search_column,
)


def make_part(labels: Sequence[int], groups: Sequence[str] | None = None) -> Part:
    count = len(labels)
    return Part(
        images=torch.zeros(count, 3, 2, 2, dtype=torch.uint8),
        labels=torch.tensor(labels),
        names=[str(index) for index in range(count)],
        digests=[f"{index:032x}" for index in range(count)],
        groups=groups or [f"image {index}" for index in range(count)],
    )


def members(division: Division, column: str, part: str) -> set[int]:
    return {
        index for index, name in enumerate(division.columns[column]) if name == part and not division.held_out[index]
    }


@given(
    counts=st.lists(st.integers(MIN_IMAGES, 15), min_size=2, max_size=4),
    seed=st.integers(0, 5),
    size=st.integers(1, 2),
)
def test_no_image_or_group_is_on_two_sides_of_a_division(counts: list[int], seed: int, size: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(size * count)]
    groups = [f"group {index // size}" for index in range(len(labels))]
    division = divide(
        make_part(labels, groups), ["train"] * len(labels), classes=list("abcd"[: len(counts)]), seed=seed
    )
    everything = set(range(len(labels)))
    outer = [members(division, final_column(number), "test") for number in range(1, division.outer_folds + 1)]
    assert sorted(index for fold in outer for index in fold) == sorted(everything)
    for number in range(division.outer_folds + 1):
        tested = outer[number - 1] if number else set()
        validated = [members(division, search_column(number, fold), "val") for fold in range(INNER_FOLDS)]
        assert sorted(index for fold in validated for index in fold) == sorted(everything - tested)
        for column in (final_column(number), *(search_column(number, fold) for fold in range(INNER_FOLDS))):
            parts = [members(division, column, part) for part in ("train", "val", "test")]
            assert sum(map(len, parts)) == len(everything)
            assert parts[2] == tested
            assert {labels[index] for index in parts[0]} == set(labels)
            sides = [{groups[index] for index in part} for part in parts]
            assert sum(map(len, sides)) == len(set().union(*sides))


def test_test_images_and_their_near_duplicates_are_outside_all_divisions() -> None:
    labels = [0, 1] * 10
    groups = [f"image {index}" for index in range(20)]
    groups[0] = groups[18]
    division = divide(make_part(labels, groups), ["train"] * 18 + ["test"] * 2, classes=["a", "b"], seed=0)
    assert np.flatnonzero(division.held_out).tolist() == [0, 18, 19]
    assert np.flatnonzero(division.excluded).tolist() == [0]
    assert [division.columns[FINAL][index] for index in (18, 19)] == ["test", "test"]
    assert "test" not in [division.columns[FINAL][index] for index in range(1, 18)]


def test_a_class_of_few_different_images_is_named() -> None:
    labels, groups = [0] * 9 + [1] * 6, [*map(str, range(9)), "x", "x", "x", "y", "z", "z"]
    with pytest.raises(UserError, match=r"^best: expected 4 images of each class at least .*; got 3 of cat\."):
        divide(make_part(labels, groups), ["train"] * 15, classes=["dog", "cat"], seed=0)
