"""Run folders that older versions wrote are read, rerun and resumed; tests/fixtures/README.md says what each is."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import CompletedCommand, run_copycat
from tests.support.images import write_image_folder
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = ["schema_1/completed", "schema_1/interrupted", "schema_2/completed", "schema_2/interrupted"]
ELSEWHERE = {"code", "packages", "python", "machine", "accelerator"}
"""Causes that a newer Copycat and another machine may have; data and configuration are the same."""
OWNERS = mark_slow(["own", "stranger"], fast=["own"])
"""Whether the settings have the key by which the folders are signed."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder to run commands in: copies of the old folders, the key, and the images that they were trained on."""
    for name in ("schema_1", "schema_2", "settings"):
        shutil.copytree(FIXTURES / name, tmp_path / name)
    classes, parts = {"dog": 0, "cat": 60}, {"train": 8, "val": 4}
    write_image_folder(tmp_path / "images", classes=classes, parts=parts, levels=180)
    return tmp_path


def run(*words: str, at: Path, owner: str = "own", status: int = 0) -> CompletedCommand:
    environment = {"COPYCAT_SETTINGS": str(at / "settings")} if owner == "own" else {}
    done = run_copycat(*words, at=at, environment=environment)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def read_json(folder: Path, name: str = "run.json") -> Any:
    return json.loads((folder / name).read_text())


def is_same_machine(run_folder: str, *, at: Path) -> bool:
    """Whether nothing but Copycat's code differs from where the old run was made."""
    environment = {"COPYCAT_SETTINGS": str(at / "settings")}
    done = run_copycat("rerun", "--check", run_folder, at=at, environment=environment)
    kinds = set(re.findall(r"^\d+\. (\w+): ", done.stdout, re.MULTILINE))
    assert kinds <= ELSEWHERE, done.stdout + done.stderr
    assert kinds or done.stdout == "same fingerprints\n", done.stdout + done.stderr
    return kinds <= {"code"}


# ----- read


def test_the_table_of_runs_has_their_figures(old: Path) -> None:
    rows = {row["folder"]: row for row in json.loads(run("runs", ".", "--json", at=old).stdout)["runs"]}
    assert sorted(rows) == sorted([*RUNS, *(f"schema_2/sweep/{number}" for number in range(3))])
    for name, row in rows.items():
        manifest = read_json(old / name)
        assert row["status"] == manifest["status"]
        assert row["epochs"] == manifest["came_out"]["epochs"]
        assert row["optimizer.lr"] in (0.001, 0.01, 0.1)
        found = {key.removeprefix("final/"): value for key, value in row.items() if key.startswith("final/")}
        assert found == manifest["came_out"].get("final", {})
        best = manifest["came_out"]["best"]
        assert (row["best/epoch"], row["best/val/loss"]) == (best["epoch"], best["metrics"]["val/loss"])


def test_a_sweep_is_shown_with_its_trials(old: Path) -> None:
    done = run("runs", "schema_2/sweep", at=old)
    first, *table = done.stdout.splitlines()
    assert first.startswith(
        "schema_2/sweep: interrupted, 3 of 3 trials, 2 completed, 1 interrupted, best val/loss 0.6270"
    )
    rows = [line.split("│")[1:4] for line in table if line.startswith("│")]
    found = [tuple(cell.strip() for cell in row) for row in rows]
    assert found == [("1", "completed", "0.01"), ("0", "completed", "0.001"), ("2", "interrupted", "0.1")]
    assert done.stdout.endswith("copycat resume schema_2/sweep\n")


def test_runs_of_both_schemas_are_compared(old: Path) -> None:
    found = json.loads(run("compare", "schema_1/completed", "schema_2/completed", "--json", at=old).stdout)
    rows = {row["name"]: list(row["values"].values()) for row in found["rows"]}
    manifests = [read_json(old / name) for name in ("schema_1/completed", "schema_2/completed")]
    assert rows["status"] == ["completed", "completed"]
    assert rows["final/val/loss"] == [manifest["came_out"]["final"]["val/loss"] for manifest in manifests]


@pytest.mark.parametrize("name", [*RUNS, "schema_2/sweep"])
def test_a_report_is_written(name: str, old: Path) -> None:
    assert run("report", name, at=old).stdout == f"{name}/report.html\n"
    page = (old / name / "report.html").read_text()
    words = {"completed": "completed", "interrupted": "interrupted after 3 of 6 epochs"}
    assert words.get(name.rpartition("/")[2], "2 completed") in page


@pytest.mark.parametrize("owner", OWNERS)
def test_images_are_predicted_as_they_were(owner: str, old: Path) -> None:
    done = run("predict", "schema_2/completed", "images/val", "--json", at=old, owner=owner)
    found = [row["probability/cat"] for row in json.loads(done.stdout)["predictions"]]
    header, *rows = [line.split(",") for line in (old / "schema_2/completed/predictions.csv").read_text().splitlines()]
    assert header == ["part", "index", "label", "probability_0", "probability_1"]
    assert found == pytest.approx([float(row[3]) for row in rows], abs=1e-5)


@pytest.mark.parametrize("name", ["schema_1/completed", "schema_2/completed"])
def test_a_run_is_evaluated_to_its_figures(name: str, old: Path) -> None:
    done = run("evaluate", name, "--json", at=old)
    found = {f"{row['part']}/{row['metric']}": row["value"] for row in json.loads(done.stdout)["metrics"]}
    final = read_json(old / name)["came_out"]["final"]
    both = found.keys() & final.keys()  # schema 1 knew no balanced accuracy
    assert len(both) >= 2 * 5
    assert {key: found[key] for key in both} == {key: pytest.approx(final[key], abs=1e-5) for key in both}


def test_images_are_predicted_by_a_run_of_the_first_schema(old: Path) -> None:
    done = run("predict", "schema_1/completed", "images/val", "--json", at=old)
    found = [row["class"] for row in json.loads(done.stdout)["predictions"]]
    right = [name == label for name, label in zip(found, ["cat"] * 4 + ["dog"] * 4, strict=True)]
    assert sum(right) / 8 == read_json(old / "schema_1/completed")["came_out"]["final"]["val/accuracy"]


# ----- rerun


@pytest.mark.parametrize("owner", OWNERS)
def test_a_run_is_rerun_to_the_same_bits(owner: str, old: Path) -> None:
    same = is_same_machine("schema_2/completed", at=old)
    tolerance = () if same else ("--tolerance", "1e-4")
    done = run("rerun", "schema_2/completed", *tolerance, at=old, owner=owner)
    if same:
        assert done.stdout == "identical: 6 epochs, 4 tensors, bit for bit\n"
    assert "differs from the original: config" not in done.stderr
    copy = old / done.stderr.splitlines()[-1].removeprefix("copycat: the copy is in ")
    assert (copy / "metrics.csv").exists()
    assert run("rerun", str(copy), at=old, owner=owner).stdout == "identical: 6 epochs, 4 tensors, bit for bit\n"


def test_a_trial_of_a_pack_is_rerun_to_rounding(old: Path) -> None:
    done = run("rerun", "schema_2/sweep/1", "--tolerance", "1e-4", at=old)
    assert re.match(r"identical: |within 0\.0001: 4 epochs, 2 tensors; ", done.stdout)
    assert "differs from the original: pack: trained as one of 2 in a pack → alone" in done.stderr


def test_a_run_of_the_first_schema_is_rerun_and_nothing_that_it_did_not_record_is_named(old: Path) -> None:
    tolerance = () if is_same_machine("schema_2/completed", at=old) else ("--tolerance", "1e-4")
    done = run("rerun", "schema_1/completed", *tolerance, at=old)
    assert re.match(r"identical: |within 0\.0001: ", done.stdout)
    assert ": 6 epochs, 4 tensors" in done.stdout
    assert "not installed" not in done.stderr
    assert "differs from the original: code: " in done.stderr


# ----- resumed


@pytest.mark.parametrize("owner", OWNERS)
def test_an_interrupted_run_is_resumed_to_the_bits_of_one_that_never_stopped(owner: str, old: Path) -> None:
    folder, whole = old / "schema_2/interrupted", old / "schema_2/completed"
    same = is_same_machine("schema_2/interrupted", at=old)
    before = (folder / "metrics.csv").read_text()
    done = run("resume", "schema_2/interrupted", at=old, owner=owner)
    assert "copycat: resuming from epoch 3, batch 2, by last.ckpt\n" in done.stderr
    assert "completed after 6 epochs" in done.stdout
    after = (folder / "metrics.csv").read_text()
    assert after.startswith(before)
    if same:
        assert_same_bits(folder, whole, ("metrics.csv", "weights.safetensors", "predictions.csv"))
    tolerance = () if same else ("--tolerance", "1e-4")
    done = run("rerun", "schema_2/interrupted", *tolerance, at=old, owner=owner)
    assert re.match("identical: 6 epochs, 4 tensors, bit for bit$" if same else "identical|within", done.stdout)


def test_a_completed_run_trains_on(old: Path) -> None:
    folder = old / "schema_2/completed"
    before = (folder / "metrics.csv").read_text()
    done = run("resume", "schema_2/completed", "trainer.max_epochs=8", at=old)
    assert "completed after 8 epochs" in done.stdout
    after = (folder / "metrics.csv").read_text()
    assert after.startswith(before)
    assert after.count("\n") == 1 + 8


def test_an_interrupted_run_of_the_first_schema_starts_anew(old: Path) -> None:
    done = run("resume", "schema_1/interrupted", at=old)
    assert "copycat: no checkpoint to resume from: starting from the beginning\n" in done.stderr
    assert "completed after 6 epochs" in done.stdout
    rows = {row["folder"]: row for row in json.loads(run("runs", "schema_1", "--json", at=old).stdout)["runs"]}
    resumed, whole = rows["schema_1/interrupted"], rows["schema_1/completed"]
    figures = [name for name in whole if name.startswith(("final/", "best/"))]
    assert {name: resumed[name] for name in figures} == {name: pytest.approx(whole[name], abs=1e-4) for name in figures}


def test_an_interrupted_sweep_is_resumed_and_its_finished_trials_stay(old: Path) -> None:
    sweep = old / "schema_2/sweep"
    before = {path: path.read_bytes() for number in "01" for path in (sweep / number).rglob("*") if path.is_file()}
    first = (sweep / "2" / "metrics.csv").read_text()
    done = run("resume", "schema_2/sweep", at=old)
    assert done.stdout.startswith("schema_2/sweep: completed, 3 of 3 trials, best val/loss ")
    assert {path: path.read_bytes() for path in before} == before
    after = (sweep / "2" / "metrics.csv").read_text()
    assert after.startswith(first)
    assert after.count("\n") == 1 + 4
    rows = json.loads(run("runs", "schema_2/sweep", "--json", at=old).stdout)["runs"]
    assert {row["trial"]: row["status"] for row in rows} == dict.fromkeys(range(3), "completed")
    assert run("rerun", "schema_2/sweep/2", "--tolerance", "1e-4", at=old).returncode == 0
