"""One trial of a sweep: nothing of its folder is lost, and no other process's run is touched."""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.runs.history import read_history
from copycat.runs.lock import LockedError, locked
from copycat.runs.train import train
from copycat.runs.trial_file import Trial, read_trial, write_trial
from copycat.sweeps.trial import read_record
from tests.support.commands import run_copycat
from tests.support.run_folders import write_run
from tests.support.runs import QUIET, compose_quickly
from tests.support.sweeps import read_trial_files, tiny_sweep_overrides


def hold_lock(folder: Path, other: Connection) -> None:
    with locked(folder):
        other.send("held")
        other.recv()


@contextmanager
def held_by_another_process(folder: Path) -> Iterator[None]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=hold_lock, args=(folder, theirs))
    process.start()
    try:
        assert ours.recv() == "held"
        yield
    finally:
        ours.send("end")
        process.join()


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of trial 3, whose run is under way."""
    write_trial(tmp_path / "3", Trial(number=3, overrides=["seed=1"], values={"seed": 1}, started="now"))
    write_run(tmp_path / "3")
    (tmp_path / "3" / "metrics.csv").write_text("epoch,train/loss\n0,0.5\n")
    return tmp_path / "3"


def test_a_folder_that_another_process_trains_in_is_left_as_it_is(folder: Path, tiny: Path, tmp_path: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}", *QUIET]
    with held_by_another_process(folder):
        before = list_files(folder)
        with pytest.raises(LockedError, match="it is still running"):
            train(compose_quickly(where), folder=folder)
        assert list_files(folder) == before


def test_a_run_that_cannot_be_built_takes_nothing_else_with_it(folder: Path, tiny: Path, tmp_path: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}", *QUIET]
    before = list_files(folder)
    with pytest.raises(UserError, match="trainer"):
        train(compose_quickly([*where, "trainer.accelerator=tpu"]), folder=folder)
    after = list_files(folder)
    assert {name: after[name] for name in ("trial.json", "metrics.csv")} == {
        name: before[name] for name in ("trial.json", "metrics.csv")
    }
    assert after.keys() == before.keys()


@pytest.mark.parametrize("content", [b"{", b"", None], ids=["damaged", "empty", "gone"])
def test_a_run_whose_manifest_is_damaged_is_set_aside(
    content: bytes | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = read_trial(folder)
    if content is None:
        (folder / "run.json").unlink()
    else:
        (folder / "run.json").write_bytes(content)
    before = list_files(folder)
    assert read_record(folder) is None
    assert list(list_files(folder)) == ["trial.json"]
    assert read_trial(folder) == trial
    del before["trial.json"]
    assert list_files(folder.with_name("3.damaged")) == before
    error = capsys.readouterr().err
    assert error.startswith(f"copycat: {folder / 'run.json'}: expected a run's manifest; ")
    assert error.endswith(f"{folder.with_name('3.damaged')}.\n")


def test_a_damaged_run_is_not_set_aside_where_another_process_trains(folder: Path) -> None:
    (folder / "run.json").write_bytes(b"{")
    with held_by_another_process(folder), pytest.raises(LockedError):
        read_record(folder)
    assert (folder / "metrics.csv").exists()


def test_a_trial_that_has_no_run_yet_is_not_set_aside(folder: Path) -> None:
    for name in ("run.json", "metrics.csv"):
        (folder / name).unlink()
    assert read_record(folder) is None
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_sweep_trains_a_damaged_trial_anew_in_a_clean_folder(launcher: str, tiny: Path, tmp_path: Path) -> None:
    words = tiny_sweep_overrides(tiny, "seed=1,2", f"hydra/launcher={launcher}", "sweep.folder=sweep")
    assert run_copycat("train", "-m", *words, at=tmp_path).returncode == 0
    folder = tmp_path / "sweep" / "1"
    metrics = (folder / "metrics.csv").read_bytes()
    write_trial(folder, Trial(**{**vars(read_trial(folder)), "status": "running", "objectives": {}}))
    manifest = folder / "run.json"
    manifest.write_bytes(b"?" + manifest.read_bytes()[1:])
    done = run_copycat("resume", "sweep", at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1/run.json: expected a run's manifest; " in done.stderr
    assert [row["epoch"] for row in read_history(folder)] == [0, 1, 2]
    assert (tmp_path / "sweep" / "1.damaged" / "metrics.csv").read_bytes() == metrics
    assert json.loads(manifest.read_text())["came_out"]["epochs"] == 3
    assert read_trial_files(tmp_path / "sweep")[1]["status"] == "completed"
