"""The images of an epoch follow from a recorded configuration."""

import math
from typing import Any

import pytest

from copycat.records.epoch_size import count_epoch_batches, count_epoch_images


@pytest.mark.parametrize(
    ("size", "trainer", "batches", "images"),
    [
        (None, {}, 1, 16),
        (99, {}, 1, 16),
        (5, {}, 4, 16),
        (5, {"limit_train_batches": 1.0}, 4, 16),
        (5, {"limit_train_batches": None}, 4, 16),
        (5, {"limit_train_batches": 1}, 1, 5),
        (5, {"limit_train_batches": 0.5}, 2, 10),
        (5, {"limit_train_batches": 9}, 4, 16),
        (5, {"limit_val_batches": 1}, 4, 16),
        (5, {"limit_train_batches": math.nan}, 4, 16),
        ("many", {"limit_train_batches": "many"}, 1, 16),
        (0.5, {}, 16, 16),
        (5, {"overfit_batches": 3, "limit_train_batches": 1}, 3, 15),
    ],
)
def test_an_epoch_has_the_batches_that_the_trainer_s_limit_leaves(
    size: object, trainer: dict[str, Any], batches: int, images: int
) -> None:
    config = {"data": {"batch_size": size}, "trainer": trainer}
    assert count_epoch_batches(config, 16, part="train") == batches
    assert count_epoch_images(config, {"train": 16, "test": 0}) == {"train": images, "test": 0}
