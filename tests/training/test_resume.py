"""A run that was killed anywhere goes on to the bits of one that nobody killed."""

import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from copycat.config.errors import UserError
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.resume import resume
from tests.support.callbacks import KillCallback, SimulatedKill
from tests.support.killed_runs import CNN, JOBS, assert_same_folders, kill_run, train_killable, try_to_kill
from tests.support.parameters import mark_slow
from tests.support.run_folders import find_newest_run, remove_metric
from tests.support.tensorboard import load_events

pytestmark = pytest.mark.usefixtures("all_checkpoints")
OPTIMIZERS = ["adam", "adamax", "asgd", "lbfgs", "nadam", "rprop", "sgd", "nesterov"]
"""Each with a state of another kind."""
PLACES = [("batch", 2), ("batch", 4), ("validation", 4), ("epoch", 4), ("batch", 6), ("end", 12)]
"""After the second batch of the first epoch; after its last, before it is validated; after that; …"""
ALL_PLACES = ("plateau", "accumulation", "moving_average")
"""Jobs whose state has parts of its own; the others go through every second place, in turn."""


@pytest.mark.parametrize("optimizer", mark_slow(OPTIMIZERS, fast=["adam"]))
def test_each_optimizer_goes_on_inside_an_epoch_of_mixed_images(optimizer: str, tiny: Path, tmp_path: Path) -> None:
    words = [f"optimizer={optimizer}", "augmentation=mixup", "data.shuffle=true"]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=("batch", 8))
    said: list[str] = []
    assert resume(open_run(folder), notify=said.append).status == "completed"
    assert said == ["resuming from epoch 1, batch 3, by last.ckpt"]
    assert_same_folders(folder, reference)


@pytest.mark.parametrize("job", mark_slow(JOBS, fast=["clipping", "balanced_draws"]))
def test_a_run_killed_anywhere_goes_on_to_the_same_bits(job: str, tiny: Path, tmp_path: Path) -> None:
    words = ["optimizer=adam", *JOBS[job]]
    reference = train_killable(tiny, tmp_path, *words).folder
    killed = 0
    places = PLACES if job in ALL_PLACES else PLACES[list(JOBS).index(job) % 2 :: 2]
    for after in places:
        if folder := try_to_kill(tiny, tmp_path, *words, after=after):
            assert resume(open_run(folder), notify=lambda line: None).status == "completed"
            assert_same_folders(folder, reference)
            killed += 1
    assert killed >= len(places) / 2


@pytest.mark.parametrize("after", [("batch", 2), ("epoch", 4)])
def test_a_run_with_a_limit_of_steps_goes_on_to_the_same_bits(
    after: tuple[str, int], tiny: Path, tmp_path: Path
) -> None:
    words = ["+trainer.max_steps=10", "callbacks.last.every_n_steps=1"]
    reference = train_killable(tiny, tmp_path, *words).folder
    folder = kill_run(tiny, tmp_path, *words, after=after)
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference, but="loops")


def test_a_run_may_be_killed_and_resumed_many_times(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path, *CNN).folder
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 2))
    for place in [("batch", 3), ("batch", 4), ("validation", 4), ("batch", 5), ("epoch", 8), ("end", 12)]:
        KillCallback.after = place
        with pytest.raises(SimulatedKill):
            resume(open_run(folder), notify=lambda line: None)
    KillCallback.after = None
    resume(open_run(folder), notify=lambda line: None)
    assert_same_folders(folder, reference)
    assert len(read_manifest(folder)["resumed"]) == 7


def test_a_run_goes_on_under_a_clock_that_was_set_back(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    clock = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: clock() - 86_400)
        resume(open_run(folder), notify=lambda line: None)
    assert_same_folders(folder, reference)
    curve = load_events(folder / "tensorboard" / "train").Scalars("loss")
    assert curve[-1].wall_time < curve[0].wall_time  # the clock was set back
    assert [event.step for event in curve] == [0, 1, 2]


def test_a_run_that_was_resumed_is_rerun_to_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    folder = kill_run(tiny, tmp_path, *CNN, after=("batch", 7))
    resume(open_run(folder), notify=lambda line: None)
    found = rerun(open_recorded(folder), notify=lambda line: None)
    assert not found.causes
    assert not found.comparison.differences
    assert found.comparison.epochs == 3


def test_a_run_that_stopped_early_trains_no_further_when_it_is_resumed(tiny: Path, tmp_path: Path) -> None:
    words = [*JOBS["early_stopping"], "optimizer=adam", "trainer.max_epochs=50"]
    reference = train_killable(tiny, tmp_path, *words)
    steps = reference.manifest["results"]["steps"]
    assert steps < 200
    folder = kill_run(tiny, tmp_path, *words, after=("end", steps))
    resume(open_run(folder), notify=lambda line: None)
    assert_same_folders(folder, reference.folder)


@pytest.mark.parametrize("step", ["recorder.reserve", "recorder.write_images", "train.TrainingSession"])
def test_a_run_that_was_killed_before_it_trained_is_resumed(
    step: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = train_killable(tiny, tmp_path).folder

    def die(*_: object, **more: object) -> None:
        raise SimulatedKill

    with monkeypatch.context() as patched:
        patched.setattr(f"copycat.training.{step}", die)
        with pytest.raises(SimulatedKill):
            train_killable(tiny, tmp_path)
    folder = find_newest_run(tmp_path)
    assert read_manifest(folder)["status"] == "running"
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    assert_same_folders(folder, reference)
    assert (folder / "images.csv").read_bytes() == (reference / "images.csv").read_bytes()


def test_rows_that_were_lost_are_trained_again(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 11))
    history = folder / "metrics.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines[:1]) + lines[1][:9])  # the last row that is left is cut short too
    said: list[str] = []
    resume(open_run(folder), notify=said.append)
    assert any("expected metrics.csv to reach epoch 2" in line for line in said)
    assert_same_folders(folder, reference)


@pytest.mark.parametrize(("row", "start"), [(1, "no checkpoint"), (2, "resuming from epoch 1, batch 3")])
def test_rows_that_were_changed_are_trained_again(row: int, start: str, tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path).folder
    folder = kill_run(tiny, tmp_path, after=("batch", 11))
    history = folder / "metrics.csv"
    lines = history.read_text().splitlines(keepends=True)
    lines[row] = lines[row].replace("0.6", "0.7", 1)
    history.write_text("".join(lines))
    said: list[str] = []
    resume(open_run(folder), notify=said.append)
    assert "last.ckpt: expected metrics.csv as the run wrote it; a row has changed since" in said[0]
    assert said[-1].startswith(start)
    assert_same_folders(folder, reference)


def test_a_completed_run_whose_rows_were_changed_is_not_extended(tiny: Path, tmp_path: Path) -> None:
    folder = train_killable(tiny, tmp_path).folder
    history = folder / "metrics.csv"
    history.write_text(history.read_text().replace("0.", "0.1", 1))
    with pytest.raises(UserError, match=r"it is of another, or metrics\.csv has changed\. Type copycat rerun "):
        resume(open_run(folder), notify=lambda line: None, more={"trainer.max_epochs": 4})


def test_a_folder_that_was_moved_is_resumed_where_it_lies(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path / "one").folder
    folder = kill_run(tiny, tmp_path / "one", after=("batch", 7))
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    before = sorted((tmp_path / "one").rglob("*"))
    resume(open_run(moved), notify=lambda line: None)
    assert_same_folders(moved, reference)
    assert sorted((tmp_path / "one").rglob("*")) == before


def test_a_completed_run_is_not_resumed(tiny: Path, tmp_path: Path) -> None:
    folder = train_killable(tiny, tmp_path).folder
    with pytest.raises(UserError, match=r"it is completed\. Type copycat rerun "):
        resume(open_run(folder), notify=lambda line: None)


def test_a_run_is_not_resumed_on_other_data(tiny: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny, data)
    folder = kill_run(data, tmp_path, after=("batch", 7))
    file = data / "train" / "cat" / "0.png"
    with Image.open(file) as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(file)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="expected the data that the run began with; 1 image differs"):
        resume(open_run(folder), notify=lambda line: None)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_run_that_knew_fewer_scores_goes_on_with_the_columns_that_it_has(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copycat.training.checkpoints.digest_rows", lambda *_: None)  # nor did its checkpoints have one
    folder = kill_run(tiny, tmp_path, after=("batch", 8))
    remove_metric(folder, "balanced_accuracy")
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    lines = (folder / "metrics.csv").read_text().splitlines()
    assert lines[0] == header
    assert [line.count(",") for line in lines] == [header.count(",")] * 4  # and three epochs
