"""`copycat resume`: what it says before it trains, and on which images it trains."""

import shutil
from pathlib import Path

import pytest

from copycat.records.run_folder import read_manifest
from tests.support.commands import call_copycat
from tests.support.images import write_image_folder
from tests.support.runs import QUIET, train_tiny


def test_images_that_have_moved_are_named_by_their_folder(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(tiny, tmp_path / "images")
    run = train_tiny("trainer.max_epochs=1", *QUIET, data=images, at=tmp_path / "runs").folder
    images.rename(tmp_path / "moved")
    call_copycat("resume", run, "trainer.max_epochs=2", status=2)
    expected = f"copycat: {run}: expected its images in {images}; they are not there. Put them back.\n"
    assert capsys.readouterr().err == expected


def test_the_runs_that_are_named_at_the_end_are_those_beside_a_run_that_was_moved(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trainer.max_epochs=1", *QUIET, "callbacks=default"]
    run = train_tiny(*words, data=tiny, at=tmp_path / "runs").folder
    moved = Path(shutil.move(run, tmp_path / "moved"))
    call_copycat("resume", moved, "trainer.max_epochs=2")
    assert capsys.readouterr().out.endswith(f" copycat runs {tmp_path}\n")


@pytest.mark.parametrize(
    ("word", "end"),
    [("max_epochs=9", "Did you mean trainer.max_epochs=9?\n"), ("seed=9", "Type copycat resume --help.\n")],
)
def test_a_key_that_no_resume_takes_is_one_line(
    word: str, end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_copycat("resume", tmp_path, word, status=2)
    assert capsys.readouterr().err.endswith(f"; got '{word}'. {end}")


def test_a_sweep_resumes_on_its_images_from_any_directory(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, elsewhere = tmp_path / "started", tmp_path / "elsewhere"
    shutil.copytree(tiny, started / "photos")
    classes, parts = {"dog": 0, "cat": 60}, {"train": 2, "val": 2}
    write_image_folder(elsewhere / "photos", classes=classes, parts=parts, levels=180)
    monkeypatch.chdir(started)
    words = ("data=folder", "data.root=photos", "data.image_size=8", "seed=1,2", "trainer.max_epochs=1", "logger=none")
    call_copycat("train", "-m", *words, "callbacks=none", "sweep.folder=sweep")
    shutil.rmtree(started / "sweep" / "1")
    monkeypatch.chdir(elsewhere)
    call_copycat("resume", "../started/sweep")
    first, second = (read_manifest(started / "sweep" / number)["provenance"]["data"] for number in ("0", "1"))
    assert first == second
    shutil.rmtree(started / "sweep" / "1")
    monkeypatch.chdir(elsewhere)
    moved = shutil.move(started, tmp_path / "moved")  # where the directory is gone, the present one is all there is
    monkeypatch.chdir(moved)
    call_copycat("resume", "sweep")
    assert read_manifest(Path("sweep", "1"))["provenance"]["data"] == first
