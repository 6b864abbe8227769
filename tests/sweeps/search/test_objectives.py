"""By what a sweep compares its trials."""

import pytest

from copycat.sweeps.search.objectives import compute_violations, get_objectives

VALUES = {"val/recall": 0.75, "parameters": 300.0}


@pytest.mark.parametrize(
    ("constraint", "distance"),
    [
        ("val/recall>=0.5", -0.25),
        ("val/recall >= 0.75", 0.0),
        ("val/recall>=1", 0.25),
        ("parameters<=1e3", -700.0),
        ("parameters<=300", 0.0),
        ("parameters<=100", 200.0),
        ("val/f1>=0.5", float("inf")),
    ],
)
def test_a_constraint_is_broken_by_its_distance_where_it_is_more_than_0(constraint: str, distance: float) -> None:
    assert compute_violations([constraint], VALUES) == {constraint: distance}


def test_the_direction_of_a_metric_follows_from_its_name_unless_it_is_given() -> None:
    both = {"objective": ["val/loss", "val/accuracy"], "direction": None}
    assert get_objectives(both) == {"val/loss": "minimize", "val/accuracy": "maximize"}
    assert get_objectives({"objective": "val/accuracy", "direction": "minimize"}) == {"val/accuracy": "minimize"}
