"""Curves of predictions, and what their captions say."""

import warnings

import numpy as np
import pytest

from copycat.inspection.reports.classification_curves import (
    compute_class_curves,
    compute_reliability,
    make_reliability_charts,
)
from copycat.inspection.reports.confusion_plots import draw_class_curves, make_confusion_plot
from copycat.inspection.reports.evaluation_sections import make_prediction_sections
from copycat.records.calibration_file import Calibration
from copycat.records.predictions import Predictions

RNG = np.random.default_rng(0)


def test_reliability_of_several_classes_counts_pairs_of_image_and_class() -> None:
    probability, label = RNG.random((20, 3)), RNG.integers(0, 2, (20, 3))
    found = compute_reliability(probability, label, ["a", "b", "c"])
    assert found.counts.sum() == 60
    assert np.nansum(found.shares * found.counts) == label.sum()
    reliability, counts = make_reliability_charts(found)
    assert reliability.y_axis.label == "share of positives"
    assert (counts.title, counts.y_axis.label) == (
        "Pairs of image and class by predicted probability",
        "pairs of image and class",
    )


def test_captions_name_what_the_charts_show() -> None:
    two, eight = ["non-cat", "cat"], [f"class {index}" for index in range(8)]
    captions = []
    for classes in (two, eight):
        probability = RNG.dirichlet(np.ones(len(classes)), 40)
        predicted = {"val": Predictions(np.arange(40) % len(classes), probability)}
        _, curves = make_prediction_sections({"data": {"classes": classes}}, predicted, {})
        captions += [image.caption for image in curves.images]
    assert captions == [
        "ROC, and precision over recall, of each class against the others, on 40 images.",
        "Share of cat against predicted probability of cat, on 40 images.",
        "ROC, and precision over recall, of each of the first 6 of 8 classes against the others, on 40 images.",
        "Accuracy against predicted probability, on 40 images.",
    ]


def test_a_matrix_that_is_left_out_is_said_to_be() -> None:
    classes = [f"class {index}" for index in range(21)]
    predicted = {"val": Predictions(np.arange(42) % 21, RNG.dirichlet(np.ones(21), 42))}
    matrix, _ = make_prediction_sections({"data": {"classes": classes}}, predicted, {})
    assert matrix.table is None
    assert matrix.note.endswith(" The matrix of 21 classes is left out; 20 have room.")


@pytest.mark.parametrize("costs", [None, [[0.0, 1.0], [5.0, 0.0]]])
def test_a_matrix_beside_a_decision_says_that_it_is_of_the_most_probable_class(costs: list[list[float]] | None) -> None:
    found = Calibration(
        weights="", created="", fitted_on="validation", images=40, temperature=2.0, checked={}, costs=costs
    )
    predicted = {"val": Predictions(np.arange(40) % 2, RNG.dirichlet(np.ones(2), 40))}
    matrix, _ = make_prediction_sections({"data": {"classes": ["cat", "dog"]}}, predicted, {}, found)
    line = " Of the most probable class, not of the calibration's decision."
    assert matrix.note.endswith(line) == (costs is not None)


def test_plots_of_classes_with_long_names_keep_their_axes() -> None:
    probability, label, classes = RNG.dirichlet(np.ones(3), 40), np.arange(40) % 3, ["x" * 120, "y" * 120, "z"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of axes without room
        draw_class_curves([*compute_class_curves(probability, label, classes)])
        ticks = make_confusion_plot(probability, label, classes).axes[0].get_xticklabels()
    assert [len(tick.get_text()) for tick in ticks] == [24, 24, 1]
