"""Labels of one class and of several, as they are counted, named and written."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copycat.data.labels import count_classes, label_codes, label_names, majority, name_code, parse_codes

CLASSES = ["cat", "dog", "elk"]
several = st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=20)
single = st.lists(st.integers(0, 2), min_size=1, max_size=20)


@given(st.one_of(single, several))
def test_labels_are_read_back_as_they_were_written(rows: list[int] | list[list[int]]) -> None:
    labels = torch.tensor(rows)
    codes = label_codes(labels)
    read = parse_codes(codes, classes=3, multi_label=labels.ndim == 2)
    assert np.array_equal(read, labels.numpy())
    assert [name_code(code, CLASSES) for code in codes] == label_names(labels, CLASSES)


def test_an_image_of_several_classes_counts_for_each_and_one_of_none_is_named_so() -> None:
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]])
    assert label_names(labels, CLASSES) == ["cat;elk", "none", "cat", "cat;dog;elk"]
    assert label_codes(labels) == ["0;2", "", "0", "0;1;2"]
    assert count_classes(labels, 3) == [3, 1, 2]
    assert majority(labels, 3) == pytest.approx((3 / 4 + 3 / 4 + 2 / 4) / 3)


def test_the_majority_of_single_labels_is_the_share_of_the_largest_class() -> None:
    assert majority(torch.tensor([2, 2, 0, 2]), 3) == 0.75


@pytest.mark.parametrize("code", ["3", "-1", "0;3", "x"])
def test_a_label_of_no_class_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|expected labels of 3 classes"):
        parse_codes([code], classes=3, multi_label=";" in code)
