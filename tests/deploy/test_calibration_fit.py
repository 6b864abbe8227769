"""Conformal sets cover what is stated, thresholds have the recall, and decisions the smallest expected cost."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.deploy.calibration_fit import fit
from copycat.deploy.calibration_request import CalibrationRequest
from copycat.deploy.conformal_rank import allowed_share, conformal_rank, needed_images
from copycat.deploy.decision import decide, describe_set, make_sets, score_classes
from copycat.models.temperature import scaled_probabilities
from copycat.records.calibration_file import SetKind

Logits = tuple[np.ndarray, np.ndarray]


def draw(random: np.random.Generator, *, images: int, classes: int) -> Logits:
    """Return overconfident logits and their labels."""
    logits = random.normal(size=(images, classes)) * 1.5
    return 3 * logits, (logits + random.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize("sets", ["lac", "aps"])
@pytest.mark.parametrize("classes", [2, 5])
def test_over_many_calibrations_of_fifty_images_the_mean_coverage_is_what_is_stated(
    sets: SetKind, classes: int
) -> None:
    random = np.random.default_rng(0)
    request, covered, sizes = CalibrationRequest(coverage=0.8, sets=sets), [], []
    for _ in range(400):
        fitted = fit(*draw(random, images=50, classes=classes), request)
        assert fitted is not None
        logits, label = draw(random, images=200, classes=classes)
        inside = make_sets(scaled_probabilities(logits, fitted.temperature), **fitted.decision)
        assert inside is not None
        covered.append(inside[np.arange(200), label].mean())
        sizes.append(inside.sum(1).mean())
    error = 3 * np.std(covered) / np.sqrt(len(covered))
    assert np.mean(covered) >= 0.8 - error
    assert 1 <= np.mean(sizes) < classes
    if sets == "lac":  # at most one image more than stated; a set of the most probable class alone adds to it
        assert np.mean(covered) <= 0.8 + 1 / 51 + error + (0.02 if classes == 2 else 0)
        assert 0.04 < np.std(covered) < 0.08  # what fifty images leave open, √(0.8·0.2/52), and what 200 add


def test_over_many_calibrations_a_new_image_of_the_class_is_recognized_as_often_as_stated() -> None:
    random, request, found = np.random.default_rng(1), CalibrationRequest(recall=0.9, positive=1), []
    for _ in range(300):
        fitted = fit(*draw(random, images=60, classes=3), request)
        assert fitted is not None
        logits, label = draw(random, images=200, classes=3)
        labels = decide(scaled_probabilities(logits, fitted.temperature), **fitted.decision)
        found.append((labels[label == 1] == 1).mean())
    assert 0.9 - 0.01 <= np.mean(found) <= 0.9 + 1 / 15


@given(st.integers(1, 400), st.integers(1, 999))
def test_a_rank_is_the_smallest_that_covers_a_new_one_and_the_needed_number_the_smallest_that_has_it(
    images: int, thousandths: int
) -> None:
    share = thousandths / 1000
    rank = conformal_rank(share, images)
    exact = Fraction(thousandths, 1000)
    assert Fraction(rank, images + 1) >= exact > Fraction(rank - 1, images + 1)
    needed = needed_images(share)
    assert conformal_rank(share, needed) <= needed
    assert needed == 1 or conformal_rank(share, needed - 1) > needed - 1
    allowed = Fraction(allowed_share(images))
    assert allowed == 0 or conformal_rank(float(allowed), images) <= images


def test_the_numbers_that_coverages_need() -> None:
    assert [needed_images(share) for share in (0.5, 0.9, 0.95, 0.98, 0.99)] == [1, 9, 19, 49, 99]
    assert (conformal_rank(0.9, 50), allowed_share(50)) == (46, "0.98")
    assert fit(np.array([[1.0, 0.0]] * 50), np.zeros(50, dtype=np.int64), CalibrationRequest(coverage=0.99)) is None


def test_the_score_of_aps_is_the_sum_down_to_the_class() -> None:
    found = score_classes([[0.2, 0.5, 0.3]], sets="aps")
    assert found == pytest.approx(np.array([[1.0, 0.5, 0.8]]))
    assert make_sets([[0.2, 0.5, 0.3]], sets="aps", quantile=0.8)[0].tolist() == [False, True, True]  # type: ignore[index]


def test_a_set_always_has_the_most_probable_class() -> None:
    sets = make_sets([[0.4, 0.6], [0.5, 0.5], [0.05, 0.95]], sets="lac", quantile=0.1)
    assert sets is not None
    assert sets.tolist() == [[False, True], [True, False], [False, True]]
    assert [describe_set(["cat", "dog"], one) for one in ([True, False], [True, True])] == ["cat", "not sure: cat, dog"]


@given(st.lists(st.floats(0, 10), min_size=9, max_size=9), st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_the_decision_has_the_smallest_expected_cost(costs: list[float], weights: list[float]) -> None:
    matrix, p = np.array(costs).reshape(3, 3), np.array(weights) / sum(weights)
    expected = [sum(p[true] * matrix[true, predicted] for true in range(3)) for predicted in range(3)]
    (label,) = decide([p], costs=matrix)
    assert expected[label] <= min(expected) + 1e-9


def test_a_missed_class_that_costs_five_times_as_much_is_predicted_above_a_sixth() -> None:
    p = np.array([[0.84, 0.16], [0.83, 0.17]])
    assert decide(p, costs=[[0, 1], [5, 0]]).tolist() == [0, 1]
    assert decide(p).tolist() == [0, 0]
    assert decide(p, positive=1, threshold=0.165).tolist() == [0, 1]
