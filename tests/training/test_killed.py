"""What is said of a run that says that it runs, by whether a process is at it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from copycat.inspection.reports.comparison_page import make_comparison_page
from copycat.inspection.reports.run_page import make_run_page
from copycat.sweeps.show import show_compared, show_runs
from copycat.sweeps.sweep_file import FILE, read_sweep, write_sweep
from copycat.sweeps.sweep_page import make_sweep_page
from copycat.sweeps.table import print_sweep
from copycat.tables.query import Query
from copycat.tables.run_table import print_runs
from tests.support.html import parse_html
from tests.support.locks import hold_lock
from tests.support.run_folders import write_run
from tests.support.sweep_folders import make_trial, write_sweep_folder

SPACE = {"optimizer.lr": "0.1,0.2"}


def write_killed_run(folder: Path, *, epochs: int = 0) -> None:
    write_run(folder, status="running")
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, "seconds": None, "results": {}}))
    (folder / "config.yaml").write_text("seed: 1\n")
    rows = [f"{epoch},0.5" for epoch in range(epochs)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,train/loss", *rows]) + "\n")


def write_killed_sweep(folder: Path) -> Path:
    """A sweep of two trials, one of which is done, that began an hour ago and says that it runs."""
    trials = [make_trial(0, {"optimizer.lr": 0.1}, 0.5), make_trial(1, {"optimizer.lr": 0.2}, status="running")]
    write_sweep_folder(folder, trials, space=SPACE)
    write_sweep(folder, replace(read_sweep(folder), status="running", ended=None))
    os.utime(folder / FILE, (0, 0))
    return folder


def test_the_table_shows_a_killed_run_and_the_command_that_resumes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_killed_run(tmp_path / "my run")
    write_run(tmp_path / "done")
    print_runs(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert sum("│ killed " in line for line in lines) == 1
    assert lines[-1] == f"killed; to resume: copycat resume '{tmp_path}/my run'"
    with hold_lock(tmp_path / "my run"):
        print_runs(tmp_path)
    out = capsys.readouterr().out
    assert "│ running " in out
    assert "killed" not in out


def test_of_many_killed_runs_a_few_commands_are_shown_and_how_to_see_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        write_killed_run(tmp_path / str(number))
    print_runs(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert sum("copycat resume" in line for line in lines) == 5
    assert lines[-1] == f"and 2 more: copycat runs {tmp_path} --filter status=killed --csv"
    show_runs(tmp_path, Query(filters=["status=killed"]), form="json", by=None)
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 7


def test_pages_show_a_killed_run_and_the_command_that_resumes_it(tmp_path: Path) -> None:
    for number in range(2):
        write_killed_run(tmp_path / str(number), epochs=number + 3)
    folder = tmp_path / "0"
    found = parse_html(make_run_page(folder).html())
    assert any(f"{folder}: killed after 3 epochs; " in text for text in found.texts)
    assert f"copycat resume {folder}" in found.texts
    both = parse_html(make_comparison_page([folder, tmp_path / "1"]).html())
    assert ["status", "killed", "killed"] in both.rows
    assert any(f"copycat resume {folder}" in text for text in both.texts)
    with hold_lock(folder):
        found = parse_html(make_run_page(folder).html())
    assert any(f"{folder}: running after 3 epochs; " in text for text in found.texts)
    assert f"copycat resume {folder}" not in found.texts  # it would be refused


def test_runs_side_by_side_show_which_was_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        write_killed_run(tmp_path / str(number))
    with hold_lock(tmp_path / "1"):
        show_compared([tmp_path / "0", tmp_path / "1"], form="json", equal=False)
    rows = {row["name"]: row["values"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["status"] == {"0": "killed", "1": "running"}


def test_a_killed_sweep_says_so_in_its_line_its_trials_and_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_killed_sweep(tmp_path / "sweep")
    print_sweep(sweep)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{sweep}: killed, 2 of 2 trials, 1 completed, 1 killed, best val/loss 0.5000")
    assert lines[-1] == f"to resume: copycat resume {sweep}"
    page = parse_html(make_sweep_page(sweep).html())
    assert any(f"{sweep}: killed, 2 of 2 trials" in text for text in page.texts)
    assert f"copycat resume {sweep}" in page.texts
    print_runs(tmp_path)  # a trial is resumed with its sweep
    assert capsys.readouterr().out.splitlines()[-1] == f"killed; to resume: copycat resume {sweep}"
    with hold_lock(sweep):
        print_sweep(sweep)
        page = parse_html(make_sweep_page(sweep).html())
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{sweep}: running, 2 of 2 trials, 1 completed, 1 running")
    assert "resume" not in lines[-1]
    assert f"copycat resume {sweep}" not in page.texts


def test_a_sweep_that_begins_is_not_killed_yet(tmp_path: Path) -> None:
    sweep = write_killed_sweep(tmp_path)
    assert read_sweep(sweep).status == "killed"
    os.utime(sweep / FILE)
    assert read_sweep(sweep).status == "running"
