"""Interactive charts of a sweep show the records of its trials."""

from pathlib import Path

import pytest

from copycat.inspection.reports.contents import Series
from copycat.sweeps.charts import (
    make_history_charts,
    make_importance_charts,
    make_parallel,
    make_pareto_charts,
    make_slice_charts,
)
from copycat.sweeps.plots.importance import Importance
from copycat.sweeps.plots.results import Results, read_results
from tests.support.sweep_folders import make_trial, write_sweep_folder

SPACE = {"optimizer.lr": "tag(log,interval(1e-2,1e-1))", "model": "shallow,logistic"}
TRIALS = [
    make_trial(0, {"optimizer.lr": 0.05, "model": "logistic"}, 0.7, 10.0),
    make_trial(1, {"optimizer.lr": 0.02, "model": "shallow"}, 0.5, 30.0),
    make_trial(2, {"optimizer.lr": 0.09, "model": "shallow"}, status="failed", error="diverged"),
    make_trial(3, {"optimizer.lr": 0.03, "model": "shallow"}, 0.9, 30.0, status="pruned"),
    make_trial(4, {"optimizer.lr": 0.01}, 0.6, 40.0),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    both = {"val/loss": "minimize", "parameters": "minimize"}
    return read_results(write_sweep_folder(tmp_path / "sweep", TRIALS, space=SPACE, objectives=both))  # type: ignore[arg-type]


def points(series: Series) -> list[tuple[float, float | None]]:
    assert series.x is not None
    return [*zip(series.x, series.y, strict=True)]


def test_history_has_each_trial_with_a_value_and_the_best_so_far(results: Results) -> None:
    loss, parameters = make_history_charts(results)
    drawn = {series.label: series for series in loss.series}
    assert points(drawn["completed"]) == [(0, 0.7), (1, 0.5), (4, 0.6)]
    assert drawn["completed"].names == ["trial 0", "trial 1", "trial 4"]
    assert points(drawn["pruned"]) == [(3, 0.9)]
    assert points(drawn["best"]) == [(1, 0.5)]
    assert points(drawn["best so far"]) == [(0, 0.7), (1, 0.5), (4, 0.5), (4, 0.5)]
    assert points(parameters.series[-1]) == [(0, 10), (1, 10), (4, 10), (4, 10)]


def test_slices_leave_out_trials_without_the_key(results: Results) -> None:
    charts = {chart.title: chart for chart in make_slice_charts(results)}
    assert len(charts) == 4
    rates, models = charts["val/loss by optimizer.lr"], charts["val/loss by model"]
    assert rates.x_axis.log
    assert points(rates.series[0]) == [(0.05, 0.7), (0.02, 0.5), (0.01, 0.6)]
    assert models.x_axis.labels == ["shallow", "logistic"]
    assert points(models.series[0]) == [(1, 0.7), (0, 0.5)]


def test_parallel_coordinates_have_the_best_trial_first(results: Results) -> None:
    parallel = make_parallel(results)
    assert parallel is not None
    assert parallel.names == ["trial 1", "trial 4", "trial 0"]
    axes = {axis.label: axis for axis in parallel.axes}
    assert axes["val/loss"].values == [0.5, 0.6, 0.7]
    assert axes["model"].values == [0, None, 1]
    assert axes["optimizer.lr"].scale == "log"


def test_pareto_charts_mark_the_front(results: Results) -> None:
    (chart,) = make_pareto_charts(results)
    drawn = {series.label: points(series) for series in chart.series}
    assert drawn == {"completed": [(0.7, 10), (0.5, 30), (0.6, 40)], "Pareto front": [(0.7, 10), (0.5, 30)]}


def test_importance_tells_keys_above_chance_from_others() -> None:
    found = Importance("val/loss", {"model": 0.1, "optimizer.lr": 0.9}, {"optimizer.lr"}, 5, 20)
    (chart,) = make_importance_charts([found])
    assert chart.x_axis.labels == ["optimizer.lr", "model"]
    assert {series.label: [*series.y] for series in chart.series} == {
        "above chance": [0.9, None],
        "not above chance": [None, 0.1],
    }


def test_a_sweep_without_values_has_no_charts(tmp_path: Path) -> None:
    results = read_results(write_sweep_folder(tmp_path, [TRIALS[2]], space=SPACE))
    assert make_history_charts(results) == make_slice_charts(results) == make_pareto_charts(results) == []
    assert make_parallel(results) is None
