"""Runs on other images than those that they are averaged with are named."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from copycat.tables.data_changes import describe_data_changes
from tests.support.run_folders import change_manifest, write_run

FOLDS = {"0": ["train,0,aa,1.png", "train,1,bb,2.png", "val,1,cc,3.png"]}
FOLDS["1"] = ["val,0,aa,1.png", "train,1,bb,2.png", "train,1,cc,3.png"]


def set_fingerprint(name: str, manifest: dict[str, Any]) -> None:
    manifest["provenance"]["data"] = {"val": name}


def write_runs(at: Path, runs: dict[str, Sequence[str]], *, size: int = 8) -> list[tuple[str, Path]]:
    """Write runs with an images.csv of these rows, each with a fingerprint of its own."""
    for name, rows in runs.items():
        images = {part: sum(row.startswith(part) for row in rows) for part in ("train", "val")}
        write_run(at / name, data={"images": images, "image_shape": [3, size, size]})
        change_manifest(at / name, partial(set_fingerprint, name))
        (at / name / "images.csv").write_text("\n".join(["part,label,digest,name", *rows]) + "\n")
    return [(path.name, path) for path in sorted(at.iterdir())]


def test_folds_seeds_and_other_test_images_are_the_same_data(tmp_path: Path) -> None:
    runs = write_runs(tmp_path, {**FOLDS, "2": [*FOLDS["1"], "test,1,dd,4.png"]})
    assert describe_data_changes(runs) == ""


@pytest.mark.parametrize(
    "change", [("val,1,cc", "val,1,dd"), ("val,1,cc", "val,0,cc"), ("val,1,cc,3.png", "val,1,cc,3.png\nval,1,dd,4.png")]
)
@pytest.mark.parametrize("has_rows", [True, False])
def test_other_pixels_labels_and_images_are_named(change: tuple[str, str], has_rows: bool, tmp_path: Path) -> None:
    rows = "\n".join(FOLDS["0"]).replace(*change).split("\n")
    runs = write_runs(tmp_path, {**FOLDS, "2": rows, "3": rows})
    if not has_rows:  # as of more images than a run lists: what is left is their number
        (tmp_path / "0" / "images.csv").unlink()
    described = describe_data_changes(runs[:3])
    assert describe_data_changes(runs).startswith("the data changed: trials 2, 3 have") == bool(described)
    assert described.startswith("the data changed: trial 2 has other images than trial 0") == (
        has_rows or len(rows) > 3
    )


def test_images_of_another_size_are_compared_by_their_number(tmp_path: Path) -> None:
    write_runs(tmp_path / "a", {"0": FOLDS["0"]})
    write_runs(tmp_path / "b", {"1": [row.replace("aa", "AA") for row in FOLDS["1"]]}, size=16)
    assert not describe_data_changes([("0", tmp_path / "a" / "0"), ("1", tmp_path / "b" / "1")])
