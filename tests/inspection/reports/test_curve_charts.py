"""Charts of curves keep what a reader looks for in them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.inspection.reports.contents import to_json
from copycat.inspection.reports.curve_charts import MAX_POINTS, make_compared_chart, make_curve_charts, thin_rows


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(8, 100))
def test_thinned_rows_keep_ends_and_extremes(values: list[float], max_points: int) -> None:
    rows = [{"epoch": float(epoch), "val/loss": value} for epoch, value in enumerate(values)]
    thinned = thin_rows(rows, ["val/loss"], max_points=max_points)
    assert len(thinned) <= max_points
    assert [thinned[0], thinned[-1]] == [rows[0], rows[-1]]
    kept = [row["val/loss"] for row in thinned]
    assert (min(kept), max(kept)) == (min(values), max(values))
    assert thinned == sorted(thinned, key=lambda row: row["epoch"])


def test_a_long_run_has_its_spike_in_the_chart_and_a_gap_where_a_part_was_not_measured() -> None:
    rows = [{"epoch": float(epoch), "train/loss": 1 / (epoch + 1)} for epoch in range(8000)]
    rows[4321]["train/loss"] = 9.0
    for row in rows[::100]:
        row["val/loss"] = math.inf if row["epoch"] == 500 else 0.5
    (chart,) = make_curve_charts(rows, ["loss"], best=7)
    assert chart.x is not None
    assert len(chart.x) <= MAX_POINTS
    assert 4321 in chart.x
    content = to_json(chart)
    train, val = content["series"]
    assert max(train["y"]) == 9.0
    assert set(val["y"]) == {None, 0.5}  # JSON has no infinity
    assert content["marks"] == [7]


@pytest.mark.parametrize(("highest", "is_log"), [(0.9, False), (90.0, True)])
def test_compared_runs_lie_before_the_rest_on_an_axis_that_holds_them(highest: float, is_log: bool) -> None:
    runs = {name: [{"epoch": 0.0, "val/loss": value}] for name, value in (("a", 0.5), ("b", highest))}
    chart = make_compared_chart(runs, "val/loss", rest=[[{"epoch": 0.0, "val/loss": 0.7}]] * 2)
    assert [series.label for series in chart.series] == ["the other 2", "the other 2", "a", "b"]
    assert [series.style.color for series in chart.series] == [0, 0, 1, 2]
    assert chart.y_axis.log == is_log
