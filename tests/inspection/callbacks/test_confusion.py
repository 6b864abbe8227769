"""How right a network is: against plain counting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from copycat.inspection.callbacks.confusion import calibration_error, confusion_matrix, draw_confusion_matrix
from copycat.inspection.callbacks.mistakes import least_confident, most_confident_errors
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.metrics import compute_scores

said = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.floats(0.01, 1))


@given(said, st.randoms())
def test_a_matrix_counts_by_class_and_by_what_was_said(raw: np.ndarray, random: object) -> None:
    probability = raw / raw.sum(1, keepdims=True)
    classes = raw.shape[1]
    label = np.arange(len(raw)) % classes
    found = confusion_matrix(probability, label)
    for true in range(classes):
        for taken in range(classes):
            pairs = [1 for row, of in zip(probability, label, strict=True) if of == true and row.argmax() == taken]
            assert found[true, taken] == len(pairs)


@given(said)
def test_the_most_wrong_come_first_and_right_ones_not_at_all(raw: np.ndarray) -> None:
    probability = raw / raw.sum(1, keepdims=True)
    label = np.arange(len(raw)) % raw.shape[1]
    places = most_confident_errors(probability, label, count=5)
    wrong = [place for place in range(len(raw)) if probability[place].argmax() != label[place]]
    assert sorted(places) == sorted(sorted(wrong, key=lambda place: (probability[place, label[place]], place))[:5])
    of_true = [probability[place, label[place]] for place in places]
    assert of_true == sorted(of_true)
    margins = [np.diff(np.sort(probability[place])[-2:])[0] for place in least_confident(probability, count=5)]
    assert margins == sorted(margins)


def test_the_calibration_error_is_the_mean_distance_over_bins() -> None:
    positive = torch.tensor([0.05, 0.05, 0.95, 0.95, 0.55])
    label = torch.tensor([0, 1, 1, 1, 0])
    # bins of a fifteenth: {0.05, 0.05}, {0.95, 0.95} and {0.55}
    expected = 2 / 5 * abs(0.5 - 0.05) + 2 / 5 * abs(1 - 0.95) + 1 / 5 * abs(0 - 0.55)
    assert calibration_error(torch.stack([1 - positive, positive], 1), label) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_an_interval_holds_the_score_and_is_the_same_each_time(classes: int) -> None:
    random = np.random.default_rng(1)
    label = np.arange(60) % classes
    raw = random.random((60, classes)) + 2 * np.eye(classes)[label] * (random.random((60, 1)) > 0.3)
    probability = raw / raw.sum(1, keepdims=True)
    found = bootstrap(probability, label)
    assert found == bootstrap(probability, label)
    of_all = torch.from_numpy(probability[:, 1] if classes == 2 else probability).float()[None]
    for name, (score,) in compute_scores(of_all, torch.from_numpy(label)[None], classes=classes).items():
        low, high = found[name]
        assert 0 <= low < score < high <= 1
        assert high - low < 0.4


def test_a_matrix_is_drawn_darker_where_more_are() -> None:
    picture = draw_confusion_matrix(np.array([[9, 1], [5, 5]]), ["dog", "cat"])
    brightness = picture.mean(-1)
    corner = [[float(brightness[44 + row * 64, 114 + column * 64]) for column in range(2)] for row in range(2)]
    assert corner[0][0] < corner[1][0] == corner[1][1] < corner[0][1]
