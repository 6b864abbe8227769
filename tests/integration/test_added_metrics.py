"""The commands after a training show the metrics of the group `metrics`, with the direction of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from copycat.inspection.reports.run_page import make_run_page
from copycat.training.result import RunResult
from tests.support.commands import run_copycat
from tests.support.runs import train_tiny

OWN = "+metrics.cost._target_=torchmetrics.classification.CalibrationError"
ADDED = ("mcc", "kappa", "brier", "ece", "specificity", "average_precision", "recall/cat", "recall/dog", "cost")


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RunResult]:
    """Two runs, of which the second is trained to better probabilities."""
    folder = tmp_path_factory.mktemp("runs")
    words = ("metrics=[full,per_class]", OWN, "optimizer=adam", "logger=none", "trainer.max_epochs=20")
    return [train_tiny(*words, f"optimizer.lr={rate}", data=tiny, at=folder) for rate in ("1e-6", "1e-3")]


def ask(*arguments: object, at: Path) -> str:
    done = run_copycat(*arguments, at=at)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_evaluate_has_the_recorded_values_inside_their_intervals(runs: list[RunResult], tmp_path: Path) -> None:
    found: Any = json.loads(ask("evaluate", runs[1].folder, "--json", at=tmp_path))
    rows = {(row["part"], row["metric"]): row for row in found["metrics"]}
    for name in ADDED:
        row = rows["val", name]
        assert row["value"] == pytest.approx(runs[1].manifest["results"]["final"][f"val/{name}"], abs=1e-6)
        assert row["low"] <= row["high"]


@pytest.mark.parametrize("name", ["brier", "cost"])
def test_tables_mark_the_lower_value_as_the_best_where_the_metric_says_so(
    name: str, runs: list[RunResult], tmp_path: Path
) -> None:
    values = [run.manifest["results"]["final"][f"val/{name}"] for run in runs]
    best = runs[values.index(min(values))].folder
    root = best.parents[2]
    assert str(best) in ask("runs", "--best", "--by", f"val/{name}", root, at=tmp_path)
    lines = ask("compare", *(run.folder for run in runs), at=tmp_path).splitlines()
    (line,) = (line for line in lines if f" final/val/{name} " in line)
    assert ["*" in cell for cell in line.split("│")[2:4]] == [run.folder == best for run in runs]


def test_runs_and_the_report_list_each_metric(runs: list[RunResult], tmp_path: Path) -> None:
    header = ask("runs", runs[0].folder.parents[2], "--csv", at=tmp_path).splitlines()[0].split(",")
    assert {f"{kind}/val/{name}" for kind in ("final", "best") for name in ADDED} <= set(header)
    page = make_run_page(runs[0].folder)
    (table,) = (section.table for section in page.sections if section.title == "Metrics" and section.table)
    assert set(ADDED) <= {str(row[0]) for row in table.rows}


def test_a_table_for_papers_sets_the_lower_value_in_bold(runs: list[RunResult], tmp_path: Path) -> None:
    values = [run.manifest["results"]["final"]["val/brier"] for run in runs]
    root = runs[0].folder.parents[2]
    table = ask("runs", root, "--markdown", "--metrics", "val/brier", "--rows", "optimizer.lr", at=tmp_path)
    assert [line for line in table.splitlines() if f"**{min(values):.3f}**" in line]
    assert not [line for line in table.splitlines() if f"**{max(values):.3f}**" in line]
