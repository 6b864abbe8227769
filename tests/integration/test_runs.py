"""`copycat runs` of a sweep and `copycat compare`, as a user types them."""

import csv
import io
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run_copycat
from tests.support.sweeps import read_trial_files, tiny_sweep_overrides


@pytest.fixture(scope="module")
def swept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep lies in `s s`: two learning rates that train and one that diverges, two seeds each."""
    at = tmp_path_factory.mktemp("swept")
    asked = tiny_sweep_overrides(
        tiny, "loss=mse", "model=shallow", "optimizer.lr=1e-2,1e-3,1e30", "seed=0,1", "sweep.folder='s s'"
    )
    done = run_copycat("train", "-m", *asked, at=at)
    assert done.returncode == 1, done.stderr  # two trials failed
    assert "2 failed" in done.stdout.splitlines()[0]
    return at


def _printed(*typed: str, at: Path) -> str:
    done = run_copycat(*typed, at=at)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _means(sweep: Path) -> dict[float, tuple[float, float]]:
    """Mean and deviation of val/loss by learning rate, from the trials' own files."""
    losses: dict[float, list[float]] = {}
    for trial in read_trial_files(sweep).values():
        if trial["status"] == "completed":
            losses.setdefault(trial["values"]["optimizer.lr"], []).append(trial["objectives"]["val/loss"])
    return {rate: (statistics.fmean(found), statistics.stdev(found)) for rate, found in losses.items()}


def test_json_has_the_trials_own_figures_and_means_over_seeds(swept: Path) -> None:
    found = json.loads(_printed("runs", "s s", "--json", at=swept))
    written = read_trial_files(swept / "s s")
    assert sorted(row["trial"] for row in found["runs"]) == list(range(6))
    for row in found["runs"]:
        trial = written[row["trial"]]
        assert row["status"] == trial["status"]
        assert row["error"] == trial["error"]
        assert {name: row[name] for name in trial["objectives"]} == trial["objectives"]
        assert {name: row[name] for name in trial["values"]} == trial["values"]
        if trial["status"] == "completed":
            came_out = json.loads((swept / row["folder"] / "run.json").read_text())["results"]
            assert {name: row[f"final/{name}"] for name in came_out["final"]} == came_out["final"]
    configurations: list[dict[str, Any]] = found["configurations"]
    means = _means(swept / "s s")
    assert [one["values"]["optimizer.lr"] for one in configurations] == [*sorted(means, key=lambda r: means[r]), 1e30]
    for one in configurations[:2]:
        mean, deviation = means[one["values"]["optimizer.lr"]]
        assert one["objectives"]["val/loss"]["mean"] == pytest.approx(mean, rel=1e-12)
        assert one["objectives"]["val/loss"]["deviation"] == pytest.approx(deviation, rel=1e-12)
    assert configurations[2]["not_completed"] == {"failed": 2}


def test_csv_has_the_same_bits(swept: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(_printed("runs", "s s", "--csv", "--filter", "status=completed", at=swept))))
    written = read_trial_files(swept / "s s")
    assert len(rows) == 4
    for row in rows:
        assert float(row["val/loss"]) == written[int(row["trial"])]["objectives"]["val/loss"]


def test_the_best_is_rerun_by_the_printed_command(swept: Path) -> None:
    command = shlex.split(_printed("runs", "s s", "--best", at=swept))
    means, written = _means(swept / "s s"), read_trial_files(swept / "s s")
    best_rate = min(means, key=lambda rate: means[rate])
    losses = {n: t["objectives"]["val/loss"] for n, t in written.items() if t["values"]["optimizer.lr"] == best_rate}
    assert command == ["copycat", "rerun", f"s s/{min(losses, key=lambda n: losses[n])}"]
    assert "identical: 3 epochs" in _printed(*command[1:], at=swept)


def test_the_table_shows_the_keys_that_vary_and_why_a_trial_failed(swept: Path) -> None:
    summed, table = _printed("runs", "s s", at=swept).split("└", 1)
    assert [name for name in ("lr", "runs", "val/loss", "±") if name in summed] == ["lr", "runs", "val/loss", "±"]
    assert "max_epochs" not in table
    assert table.count("│ failed") == 2
    assert all("inf" in line or "nan" in line for line in table.splitlines() if "│ failed" in line)


def test_any_folder_of_runs_is_sorted_filtered_and_has_a_best(swept: Path) -> None:
    rows = json.loads(_printed("runs", ".", "--json", "--filter", "lr<1", "--sort", "val/loss", at=swept))["runs"]
    losses = [row["final/val/loss"] for row in rows]
    assert len(losses) >= 4
    assert losses == sorted(losses)
    assert _printed("runs", ".", "--best", at=swept).split()[-1].strip("'") == rows[0]["folder"].split()[-1]


def test_compare_shows_what_differs_and_marks_the_best(swept: Path) -> None:
    written = read_trial_files(swept / "s s")
    found = json.loads(_printed("compare", "s s/0", "s s/3", "--json", at=swept))
    keys = {row["name"]: row["values"] for row in found["rows"] if row["kind"] == "config"}
    assert keys == {"optimizer.lr": {"0": 0.01, "3": 0.001}, "seed": {"0": 0, "3": 1}}
    best = next(row["values"] for row in found["rows"] if row["name"] == "best/val/loss")
    assert best == {number: written[int(number)]["objectives"]["val/loss"] for number in ("0", "3")}
    lines = _printed("compare", "s s/0", "s s/3", at=swept).splitlines()
    cells = next(line for line in lines if "best/val/loss" in line).split("│")[2:4]
    assert ["*" in cell for cell in cells] == [best["0"] < best["3"], best["3"] < best["0"]]
    assert "trainer.max_epochs" in _printed("compare", "s s/0", "s s/3", "--all", at=swept)
    assert "optimizer.lr" in _printed("compare", "s s", at=swept)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["runs", "s s", "--filter", "optimzer.lr<1"], "Did you mean optimizer.lr?"),
        (["runs", "s s", "--csv", "--json"], "expected alone"),
        (["runs", "s s", "--best", "--by", "test/loss"], "--by"),
        (["runs", "s s", "--best", "--sort", "val/auroc"], "Type --best --by val/auroc."),
        (["runs", "s s", "--best", "--filter", "lr=1e30"], "expected a completed trial"),
        (["runs", "nowhere"], "expected a folder of runs"),
        (["compare", "s s/0"], "expected two runs or more"),
        (["compare", "s s/0", "nowhere"], "nowhere: expected the folder of a run"),
    ],
)
def test_a_wrong_call_is_one_line(typed: list[str], said: str, swept: Path) -> None:
    done = run_copycat(*typed, at=swept)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "heavy"),
    [
        (["runs", "s s"], ["torch", "pytorch_lightning", "optuna", "hydra", "numpy", "rich.console", "yaml"]),
        (["compare", "s s"], ["torch", "pytorch_lightning", "optuna", "hydra"]),  # it reads predictions by NumPy
    ],
)
def test_neither_imports_anything_heavy(typed: list[str], heavy: list[str], swept: Path) -> None:
    script = (
        f"import sys; from copycat.cli.dispatch import run_command; run_command({typed!r});"
        f" sys.exit(', '.join({set(heavy)!r} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=swept, check=True, capture_output=True)
