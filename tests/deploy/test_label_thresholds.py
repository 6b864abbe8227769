"""Thresholds of classes, beside trying each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from copycat.deploy.calibration_sample import Sample
from copycat.deploy.decision import decide_labels, join_names
from copycat.deploy.label_thresholds import cross_fit, fit_thresholds, measure_decisions

seeds = st.integers(0, 10_000)


@given(seeds, st.integers(2, 30))
def test_no_other_threshold_has_a_larger_f1(seed: int, images: int) -> None:
    draw = np.random.default_rng(seed)
    probability, label = draw.integers(0, 9, (images, 3)) / 8, draw.integers(0, 2, (images, 3))
    thresholds = fit_thresholds(probability, label)
    for scores, true, threshold in zip(probability.T, label.T, thresholds, strict=True):
        if not true.any() or true.all():
            assert threshold == 0.5
            continue
        cuts = [*np.unique(scores), scores.min() / 2]
        tried = [f1_score(true, scores > cut, zero_division=0) for cut in cuts]
        assert f1_score(true, scores > threshold, zero_division=0) == pytest.approx(max(tried))


def test_of_equal_scores_the_threshold_nearest_to_one_half_is_taken() -> None:
    probability, label = np.array([[0.1], [0.2], [0.9]]), np.array([[0], [0], [1]])
    assert fit_thresholds(probability, label) == [0.5]
    assert fit_thresholds(probability / 4, label) == [pytest.approx((0.2 + 0.9) / 8)]


@given(seeds)
def test_figures_are_scikit_learn_s(seed: int) -> None:
    draw = np.random.default_rng(seed)
    decided, label = draw.random((20, 3)) > 0.6, draw.integers(0, 2, (20, 3))
    rows = {row["metric"]: row for row in measure_decisions("val", decided, label)}
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert rows[name]["value"] == pytest.approx(score(label, decided, average="macro", zero_division=0))
    assert rows["exact_match"]["value"] == (decided == label).all(1).mean()


def test_the_interval_of_many_images_is_narrow_and_holds_the_value() -> None:
    draw = np.random.default_rng(0)
    decided, label = draw.random((500, 3)) > 0.6, draw.integers(0, 2, (500, 3))
    for row in measure_decisions("val", decided, label):
        assert row["low"] < row["value"] < row["high"] < row["low"] + 0.15


def test_each_group_is_decided_by_thresholds_of_the_others() -> None:
    """The second group's classes are told apart at 0.8, the first one's at 0.2: each gets the other's threshold."""
    probability = np.array([[0.1], [0.3], [0.7], [0.9]])
    label, group = np.array([[0], [1], [0], [1]]), np.array([0, 0, 1, 1])
    sample = Sample(fitted_on="validation", logits=np.log(probability), label=label, group=group)
    assert cross_fit(sample)[:, 0].tolist() == [False, False, True, True]


def test_predicted_classes_are_joined_and_none_is_said_so() -> None:
    decided = decide_labels([[0.5, 0.6, 0.7], [0.1, 0.2, 0.3]], thresholds=[0.5, 0.5, 0.8])
    assert [join_names(np.array(["a", "b", "c"])[row]) for row in decided] == ["b", "none"]
