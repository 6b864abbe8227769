"""Runs on tables and on groups: recorded, rerun, resumed and packed to the bits that their images give."""

import csv
from pathlib import Path

import pytest

from copycat.config.compose import Request
from copycat.records.image_index import read_images
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.resume import resume
from copycat.training.train import train
from tests.support.commands import call_copycat
from tests.support.killed_runs import assert_same_folders, kill_run, train_killable
from tests.support.packs import LONG, pack_of, read_trials
from tests.support.run_folders import assert_same_bits
from tests.support.runs import QUIET, compose_quickly, train_tiny


def write_table(tiny: Path, at: Path, *, owners: int = 6) -> Path:
    """A table of the images of `tiny`, with owners of several images of one class each."""
    file = at / "table.csv"
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["image", "species", "owner"])
        for place, path in enumerate(sorted(tiny.glob("*/*/*.png"))):
            rows.writerow([path, path.parent.name, f"{path.parent.name[0]}{place % owners}"])
    return file


def compose_table(file: Path, at: Path, *words: str) -> Request:
    where = ["data=csv", f"data.file={file}", "data.image_size=8", f"output_dir={at}", "trainer.threads=1"]
    return compose_quickly([*where, "trainer.max_epochs=3", *words])


def test_a_table_trains_to_the_bits_of_the_folder(tiny: Path, tmp_path: Path) -> None:
    root = tiny / "train"
    words = ["trainer.threads=1", "trainer.max_epochs=3", "data.split=holdout", *QUIET]
    folder = train_tiny(*words, data=root, at=tmp_path / "a").folder
    lines = [f"{file.relative_to(root)},{file.parent.name}" for file in sorted(root.rglob("*.png"))]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines]))
    table = train(compose_table(tmp_path / "table.csv", tmp_path / "b", f"data.root={root}", *words)).folder
    assert_same_bits(folder, table, ["metrics.csv", "weights.safetensors", "images.csv"])
    assert read_manifest(table)["data"]["classes"] == ["cat", "dog"]


def test_groups_are_recorded_and_a_run_is_rerun_though_its_table_has_moved(tiny: Path, tmp_path: Path) -> None:
    file = write_table(tiny, tmp_path)
    folder = train(
        compose_table(file, tmp_path / "runs", "data.groups=owner", "data.fold=1", "data.folds=3", *QUIET)
    ).folder
    images = read_images(folder) or []
    groups = {part: {image.group for image in images if image.part == part} for part in ("train", "val")}
    assert not groups["train"] & groups["val"]
    assert read_manifest(folder)["data"]["groups"] == {part: len(found) for part, found in groups.items()}
    assert open_run(folder).config["data"]["file"] == str(file)
    (tmp_path / "moved").mkdir()
    moved = file.rename(tmp_path / "moved" / "other.csv")
    found = rerun(open_recorded(folder), notify=lambda line: None, data=moved)
    assert found.comparison.differences == []
    assert list(found.causes) == []


def test_a_run_on_groups_is_resumed_inside_an_epoch_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    words = ["data.groups=(\\d)", "data.fold=1", "data.folds=3", "data.shuffle=true", "optimizer=adam"]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 4))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)


def test_folds_of_groups_are_packed_with_those_of_their_size(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_table(tiny, tmp_path, owners=8)
    where = [
        "data=csv",
        f"data.file={file}",
        "data.image_size=8",
        "trainer.threads=1",
        f"sweep.folder={tmp_path}/sweep",
    ]
    words = ["data.groups=owner", "data.folds=4", "data.fold=range(4)", *LONG]
    call_copycat("train", "-m", *where, *words)
    assert [trial.status for trial in read_trials(tmp_path / "sweep")] == ["completed"] * 4
    held: list[str | None] = []
    for fold in range(4):
        folder = tmp_path / "sweep" / str(fold)
        images = read_images(folder) or []
        assert pack_of(folder) == [0, 1, 2, 3]
        assert not {i.group for i in images if i.part == "train"} & {i.group for i in images if i.part == "val"}
        held += [image.name for image in images if image.part == "val"]
    assert len(held) == len(set(held)) == 24
