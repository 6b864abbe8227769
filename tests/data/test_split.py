"""What a source loads is checked, which may be a user's own: parts, their shapes, and their labels."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from copycat.config.errors import UserError
from copycat.data.split import Part, check_loaded
from tests.support.parts import make_gray_part

CLASSES = ("even", "odd")
TWO = make_gray_part([1, 2])
IMAGES, LABELS = TWO.images, TWO.labels
LARGER = Part(images=torch.zeros(1, 3, 2, 2, dtype=torch.uint8), labels=torch.tensor([0]), names=["a"], digests=["1"])


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"images": IMAGES / 255}, "data: expected images as uint8 [N, C, H, W]; got float32 [2, 3, 1, 2]."),  # type: ignore[operator]
        ({"images": IMAGES[0]}, "data: expected images as uint8 [N, C, H, W]; got uint8 [3, 1, 2]."),
        (
            {"images": IMAGES.numpy()},  # type: ignore[union-attr]
            "data: expected images as a tensor; got a NumPy array. Wrap it in torch.from_numpy.",
        ),
        ({"labels": LABELS.int()}, "data: expected labels as int64 [2], one per image; got int32 [2]."),
        ({"labels": LABELS[:, None]}, "data: expected labels as int64 [2], one per image; got int64 [2, 1]."),
        ({"labels": LABELS[:1]}, "data: expected labels as int64 [2], one per image; got int64 [1]."),
        ({"names": ["a"]}, "data: expected 2 names, one per image; got 1."),
        ({"digests": ["a", "b", "c"]}, "data: expected 2 digests, one per image; got 3."),
    ],
)
def test_a_part_of_another_form_is_one_line_that_says_what_was_expected(fields: dict[str, Any], line: str) -> None:
    right: dict[str, Any] = {"images": IMAGES, "labels": LABELS, "names": ["a", "b"], "digests": ["1", "2"]}
    Part(**right)
    with pytest.raises(UserError) as raised:
        Part(**right | fields)
    assert str(raised.value) == line


@pytest.mark.parametrize(
    ("labels", "got"), [([0, 2], "0 to 2"), ([-1, 0], "-1 to 0")], ids=["a class too many", "below 0"]
)
def test_labels_that_no_class_has_are_one_line(labels: list[int], got: str) -> None:
    with pytest.raises(UserError, match=f"data: expected labels from 0 to 1 in train; got {got}"):
        check_loaded({"train": make_gray_part([1, 2], labels), "val": make_gray_part([3])}, CLASSES)


@pytest.mark.parametrize("name", ["train", "val"])
def test_a_part_without_images_is_one_line(name: str) -> None:
    parts = {"train": TWO, "val": make_gray_part([3])} | {name: make_gray_part([])}
    with pytest.raises(UserError, match=f"data: expected at least one image in {name}; got none"):
        check_loaded(parts, CLASSES)


@pytest.mark.parametrize(
    ("loaded", "classes", "line"),
    [
        ({"val": TWO}, CLASSES, r"expected load\(\) to return a dict of parts, train and maybe val and test; got val"),
        ({"train": TWO, "holdout": TWO}, CLASSES, "train and maybe val and test; got holdout, train"),
        ([TWO], CLASSES, "train and maybe val and test; got a list"),
        ({"train": {"images": IMAGES}}, CLASSES, r"expected a copycat\.data\.split\.Part as train; got a dict"),
        (
            {"train": TWO, "val": LARGER},
            CLASSES,
            r"expected images of \[3, 1, 2\] in val, as in train; got",
        ),
        ({"train": TWO}, ("cat", "cat"), "expected classes of different names; got cat, cat"),
    ],
)
def test_what_is_no_dict_of_parts_of_these_classes_is_one_line(loaded: Any, classes: Sequence[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        check_loaded(loaded, classes)
