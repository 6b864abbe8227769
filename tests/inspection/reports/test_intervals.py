"""Intervals of scores by resampling images."""

import numpy as np
import pytest
import torch

from copycat.inspection.reports.intervals import FEW_RESAMPLES, bootstrap
from copycat.models.metrics import compute_scores


@pytest.mark.parametrize("few", [0, 1000])
def test_intervals_of_many_classes_are_those_of_each_resample_scored_by_itself(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.inspection.reports.intervals.MAX_PAIRWISE", few)
    draw = np.random.default_rng(3)
    probability = draw.dirichlet(np.ones(4), 60).astype(np.float32).round(1)  # some are equal
    label = np.arange(60) % 4
    label[:40] = 0  # a resample may lack a class
    chosen = np.random.default_rng(0).integers(60, size=(FEW_RESAMPLES, 60))
    expected = compute_scores(torch.from_numpy(probability[chosen]), torch.from_numpy(label[chosen]), classes=4)
    found = bootstrap(probability, label)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(np.percentile([v for v in values if v == v], [2.5, 97.5]), abs=1e-6)


def test_where_no_resample_has_all_classes_there_is_no_interval_of_auroc() -> None:
    found = bootstrap(np.eye(30, dtype=np.float32), np.arange(30))
    assert found.keys() == {"accuracy", "precision", "recall", "f1"}
