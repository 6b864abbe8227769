"""The trainings of a search, and which candidates its time allows."""

from pathlib import Path

from copycat.sweeps.best.plan import SearchPlan

FIXED = ("data=csv", "data.file=data.csv", "sweep.max_time=10m", "logger=csv")


def make_plan(*names: str, has_test: bool = False) -> SearchPlan:
    return SearchPlan(
        images=100,
        has_test=has_test,
        outer_folds=5,
        inner_folds=3,
        candidates=[{"name": name, "words": [f"experiment=portfolio/{name}"]} for name in names],
        not_tried={},
        preferred=["preferred"],
    )


def test_each_training_has_a_number_of_its_own() -> None:
    plan = make_plan("a", "b")
    numbers = [plan.number(one, name, fold) for one in plan.selections for name in "ab" for fold in (0, 1, 2, None)]
    assert sorted(numbers) == list(range(2 * plan.trainings))


def test_only_chosen_models_are_tested_and_the_test_part_only_by_the_last() -> None:
    plan = make_plan("a", has_test=True)
    inner, outer, model = plan.job(0, "a", 1, FIXED), plan.job(2, "a", None, FIXED), plan.job(0, "a", None, FIXED)
    assert "test=true" not in inner.overrides
    assert {"test=true", "data.exclude_column=held_out", "data.split_column=selection_2_final"} <= {*outer.overrides}
    assert {"test=true", "data.exclude_column=exclude", "data.split_column=final"} <= {*model.overrides}
    assert "test=true" not in make_plan("a").job(0, "a", None, FIXED).overrides
    assert [job.inside for job in (inner, outer, model)] == [Path("search"), Path("search"), Path()]
    assert {"callbacks=none", "logger=csv"} <= {*inner.overrides}  # what was typed has precedence
    assert "callbacks=none" not in model.overrides


def test_the_time_decides_by_the_cost_alone() -> None:
    plan = make_plan("cheap", "dear", "dearest")
    seconds = {"cheap": 1.0, "dear": 4.0, "dearest": 50.0}
    assert plan.admit(seconds, left=10_000) == ["cheap", "dear", "dearest"]
    assert plan.admit(seconds, left=200) == ["cheap", "dear"]
    assert plan.admit(seconds, left=30) == ["cheap"]
    assert plan.admit(seconds, left=1) == ["cheap"]  # one is tried in any case


def test_what_is_preferred_is_left_out_last() -> None:
    plan = make_plan("cheap", "preferred", "dear")
    seconds = {"cheap": 1.0, "preferred": 4.0, "dear": 6.0}
    assert plan.admit(seconds, left=100) == ["preferred", "cheap"]
    assert plan.admit(seconds, left=50) == ["preferred"]
