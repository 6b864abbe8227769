"""The head of a run's page judges the run by its numbers."""

from pathlib import Path
from typing import Any

import pytest

from copycat.inspection.reports.verdict import make_facts, make_verdict


def make_manifest(train: float, val: float, *, images: int, baseline: float = 0.5, **data: Any) -> dict[str, Any]:
    results = {
        "final": {"train/accuracy": train, "val/accuracy": val, "val/loss": 0.9},
        "best": {"monitor": "val/loss", "epoch": 7, "metrics": {"val/loss": 0.4}},
    }
    counts = {"train": images, "val": images}
    return {
        "results": results,
        "data": {"images": counts, "majority": {"train": 0.5, "val": baseline}, "warnings": [], **data},
    }


@pytest.mark.parametrize(
    ("train", "val", "images", "overfitting"),
    [
        (0.99, 0.75, 200, "yes"),
        (0.99, 0.75, 10, "no sign"),  # ten images cannot tell
        (0.92, 0.90, 10_000, "slight"),
        (0.75, 0.80, 10_000, "no sign"),
    ],
)
def test_overfitting_is_a_gap_that_the_images_can_show(train: float, val: float, images: int, overfitting: str) -> None:
    facts = {fact.title: fact for fact in make_facts(make_manifest(train, val, images=images), Path())}
    assert facts["Overfitting"].value == overfitting
    assert "validation loss 0.9000, least in epoch 7: 0.4000" in facts["Overfitting"].note


def test_a_network_that_has_not_learned_is_not_praised_for_no_overfitting() -> None:
    learned, constant = (make_manifest(accuracy, accuracy, images=100) for accuracy in (0.9, 0.5))
    tones = [next(f.tone for f in make_facts(one, Path()) if f.title == "Overfitting") for one in (learned, constant)]
    assert tones == ["good", ""]


@pytest.mark.parametrize(
    ("baseline", "phrase"),
    [
        (0.5, "above the majority baseline, 0.5000"),
        (0.79, "not shown to exceed the majority baseline, 0.7900"),
        (0.95, "below the majority baseline, 0.9500"),
    ],
)
def test_an_accuracy_is_compared_with_its_baseline_by_its_interval(baseline: float, phrase: str) -> None:
    facts = [*make_facts(make_manifest(0.8, 0.8, images=100, baseline=baseline, warnings=["a", "b"]), Path())]
    assert make_verdict(facts) == (
        f"Validation accuracy 0.8000 (95 % interval 0.71 to 0.87, 100 images); {phrase};"
        " no sign of overfitting; 2 warnings of the data check."
    )


def test_a_run_without_results_has_its_data_check_alone() -> None:
    manifest = {"results": {}, "data": {"images": {"train": 4}, "warnings": []}}
    assert [fact.title for fact in make_facts(manifest, Path())] == ["Data check"]
