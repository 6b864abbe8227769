"""Runs on other images than those that they are averaged with are named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from copycat.tables import data_changes
from copycat.tables.data_changes import describe_data_changes

FOLDS = {"0": ["train,0,aa,1.png", "train,1,bb,2.png", "val,1,cc,3.png"]}
FOLDS["1"] = ["val,0,aa,1.png", "train,1,bb,2.png", "train,1,cc,3.png"]


def write_runs(at: Path, runs: dict[str, Sequence[str]]) -> list[tuple[str, Path]]:
    """Write run folders with an images.csv of these rows alone."""
    for name, rows in runs.items():
        (at / name).mkdir()
        (at / name / "images.csv").write_text("\n".join(["part,label,digest,name", *rows]) + "\n")
    return [(path.name, path) for path in sorted(at.iterdir())]


def test_folds_seeds_and_other_test_images_are_the_same_data(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, {**FOLDS, "2": [*FOLDS["1"], "test,1,dd,4.png"]})
    assert describe_data_changes(runs) == ""


@pytest.mark.parametrize(
    "change", [("val,1,cc", "val,1,dd"), ("val,1,cc", "val,0,cc"), ("val,1,cc,3.png", "val,1,cc,3.png\nval,1,dd,4.png")]
)
def test_other_pixels_labels_and_images_are_named(change: tuple[str, str], tmp_path: Path) -> None:
    rows = "\n".join(FOLDS["0"]).replace(*change).split("\n")
    runs = write_runs(tmp_path, {**FOLDS, "2": rows, "3": rows})
    assert describe_data_changes(runs[:3]).startswith("the data changed: trial 2 has other images than trial 0")
    assert describe_data_changes(runs).startswith("the data changed: trials 2, 3 have")


def test_the_same_images_of_another_size_are_the_same_data_and_runs_without_a_list_are_left_out(tmp_path: Path) -> None:
    digests = {"aa": "AA", "bb": "BB", "cc": "CC"}
    resized = [row.replace(digest, digests[digest]) for row, digest in zip(FOLDS["1"], digests, strict=True)]
    runs = write_runs(tmp_path, {"0": FOLDS["0"], "1": resized, "2": resized[:2]})
    assert describe_data_changes([*runs[:2], ("3", tmp_path / "3")]) == ""
    assert "trial 2 has" in describe_data_changes(runs)


def test_of_many_runs_evenly_spaced_ones_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_changes, "MAX_READ", 2)
    rows = [FOLDS["0"], FOLDS["0"], FOLDS["0"][:2]]
    runs = write_runs(tmp_path, {str(number): each for number, each in enumerate(rows)})
    assert "trial 2 has other images than trial 0" in describe_data_changes(runs)  # 0 and 2 are read
    assert describe_data_changes(runs[1:2] * 2 + runs[:1]) == describe_data_changes([]) == ""
