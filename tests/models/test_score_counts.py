"""Counts of predictions: those of parts of the images add up to those of all, with the bits of their scores."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from copycat.models import score_counts
from copycat.models.metrics import compute_scores
from copycat.models.score_counts import count_predictions


def draw(seed: int, images: int, classes: int, *, several: bool) -> tuple[Tensor, Tensor]:
    """Return probabilities and labels of one epoch, some of them 0.5."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, images, classes) if several or classes > 2 else (1, images)
    probability = torch.randint(0, 9, shape, generator=generator) / 8
    label = torch.randint(0, 2 if several else classes, shape if several else (1, images), generator=generator)
    return probability, label


KINDS: Any = st.sampled_from([(2, False), (3, False), (7, False), (2, True), (4, True)])


@given(KINDS, st.integers(0, 1000), st.integers(1, 40), st.lists(st.integers(0, 40), max_size=3))
def test_counts_of_any_parts_add_up_to_the_scores_of_all_images(
    kind: tuple[int, bool], seed: int, images: int, cuts: list[int]
) -> None:
    classes, several = kind
    probability, label = draw(seed, images, classes, several=several)
    parts = zip(*(values.tensor_split(sorted(cuts), 1) for values in (probability, label)), strict=True)
    counts = sum(count_predictions(*part, classes=classes) for part in parts)
    assert isinstance(counts, Tensor)
    whole = compute_scores(probability, label, classes=classes)
    assert repr(compute_scores(probability, label, classes=classes, counts=counts)) == repr(whole)  # nan is nan


def test_scores_but_auroc_follow_from_the_counts_alone() -> None:
    probability, label = draw(0, 20, 3, several=False)
    counts = torch.tensor([[[10] * 3, [1, 2, 3], [3, 3, 4], [2, 4, 4]]])
    found = compute_scores(probability, label, classes=3, counts=counts)
    expected = {
        "accuracy": 6 / 10,
        "balanced_accuracy": (1 / 3 + 2 / 3 + 3 / 4) / 3,
        "precision": (1 / 2 + 2 / 4 + 3 / 4) / 3,
        "recall": (1 / 3 + 2 / 3 + 3 / 4) / 3,
        "f1": (2 / 5 + 4 / 7 + 6 / 8) / 3,
    }
    for name, value in expected.items():
        assert found[name] == [pytest.approx(value, abs=1e-6)]


@pytest.mark.parametrize("at_once", [1, 30])
def test_counts_of_some_images_at_a_time_are_those_of_all(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probability, label = draw(3, 17, 4, several=True)
    whole = count_predictions(probability, label, classes=4)
    monkeypatch.setattr(score_counts, "COUNTED_AT_ONCE", at_once)
    assert torch.equal(count_predictions(probability, label, classes=4), whole)
