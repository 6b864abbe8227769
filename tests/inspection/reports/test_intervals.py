"""Intervals of scores by resampling images."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from copycat.inspection.reports.intervals import FEW_RESAMPLES, bootstrap


@pytest.mark.parametrize("few", [0, 1000])
def test_intervals_of_many_classes_are_those_of_each_resample_scored_by_itself(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.inspection.reports.intervals.MAX_PAIRWISE", few)
    draw = np.random.default_rng(3)
    probability = draw.dirichlet(np.ones(4), 60).astype(np.float32).round(1)  # some are equal
    label = np.arange(60) % 4
    label[:50] = 0  # a resample may lack a class, and predict it
    chosen = np.random.default_rng(0).integers(60, size=(FEW_RESAMPLES, 60))
    expected = [
        {
            "accuracy": float((found == true).mean()),
            "balanced_accuracy": recall_score(true, found, labels=np.unique(true), average="macro"),
            "precision": precision_score(true, found, labels=np.unique(true), average="macro", zero_division=0),
            "recall": recall_score(true, found, labels=np.unique(true), average="macro"),
            "f1": f1_score(true, found, labels=np.unique(true), average="macro"),
            "auroc": np.mean([roc_auc_score(true == one, probability[some, one]) for one in np.unique(true)]),
        }
        for some in chosen
        for true, found in [(label[some], probability[some].argmax(1))]
    ]
    intervals = bootstrap(probability, label)
    assert intervals.keys() == expected[0].keys()
    for name, interval in intervals.items():
        assert interval == pytest.approx(np.percentile([row[name] for row in expected], [2.5, 97.5]), abs=1e-6)


def test_balanced_accuracy_of_few_images_a_class_has_the_interval_of_recall() -> None:
    label = np.arange(16) % 8
    probability = np.eye(8, dtype=np.float32)[np.where(np.arange(16) < 2, 7, label)]  # two are wrong
    found = bootstrap(probability, label)
    assert found["balanced_accuracy"] == found["recall"]
    assert found["balanced_accuracy"][0] < 0.875 < found["balanced_accuracy"][1]


def test_where_a_class_has_no_image_there_is_no_interval_of_auroc() -> None:
    found = bootstrap(np.eye(30, dtype=np.float32)[:29], np.arange(29))
    assert found.keys() == {"accuracy", "precision", "recall", "f1"}


def test_a_score_that_is_undefined_in_half_of_the_resamples_has_no_interval() -> None:
    label = np.eye(8, dtype=np.int64)  # of images with several classes: most resamples lack one
    assert bootstrap(label.astype(np.float32), label).keys() == {"accuracy", "precision", "recall", "f1"}
