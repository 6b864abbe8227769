"""Folders of trials that another process locks, or that are damaged or forged."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.trial_file import read_own_trial, read_trial, write_trial
from copycat.sweeps.search.storage import open_storage
from copycat.sweeps.sweeper import Grid
from copycat.sweeps.trial_folder import find_run, write_first_record
from tests.support.commands import call_copycat
from tests.support.locks import hold_lock
from tests.support.parameters import mark_slow
from tests.support.search import compose_search, run_trials, start_search
from tests.support.sweeps import read_sweep_file, tiny_sweep_overrides

LAUNCHERS = ["basic", "packed"]
HOSTILE = "+callbacks.x={_target_: shutil.copy, src: a, dst: b}"


def start_sweep(data: Path, folder: Path, *words: str) -> None:
    words = (*tiny_sweep_overrides(data, "seed=1,2"), "trainer.max_epochs=2", "model=logistic", *words)
    call_copycat("train", "-m", *words, f"sweep.folder={folder}")


def stop_trial(folder: Path) -> None:
    """Leave a trial in the state of a kill just before its end."""
    write_trial(folder, replace(read_trial(folder), status="running", objectives={}, ended=None))


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("launcher", mark_slow(LAUNCHERS, fast=["basic"]))
def test_a_trial_that_another_process_runs_is_skipped_and_reported(
    launcher: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    start_sweep(tiny, sweep, f"hydra/launcher={launcher}")
    for number in (0, 1):
        stop_trial(sweep / str(number))
    (sweep / "0" / "run.json").unlink()  # as if the other process had just begun it
    before = read_files(sweep / "0")
    monkeypatch.setattr("copycat.sweeps.trial_folder.PATIENCE", 0.0)
    capfd.readouterr()
    with hold_lock(sweep / "0"):
        call_copycat("resume", sweep, status=2)
    assert read_files(sweep / "0") == before
    assert read_trial(sweep / "1").status == "completed"
    assert f"copycat: {sweep / '0'}: expected a trial that no other process runs; it is still running." in (
        capfd.readouterr().err
    )
    assert read_sweep_file(sweep)["status"] == "interrupted"


def test_a_sweep_waits_for_a_trial_that_another_process_is_about_to_end(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = tmp_path / "sweep"
    start_sweep(tiny, sweep)
    ended, manifest = read_trial(sweep / "0"), (sweep / "0" / "run.json").stat()
    stop_trial(sweep / "0")
    with hold_lock(sweep / "0") as process:

        def end_other(_: float) -> None:
            write_trial(sweep / "0", ended)
            process.kill()
            process.wait()

        monkeypatch.setattr("copycat.sweeps.trial_folder.time.sleep", end_other)
        call_copycat("resume", sweep)
    assert read_trial(sweep / "0") == ended
    assert (sweep / "0" / "run.json").stat() == manifest


def _change_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" + content[41:])


def _change_digit(path: Path) -> None:
    path.write_text(path.read_text().replace("seed: 1", "seed: 7"))


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "manifest": ("run.json", _change_byte),
    "config": ("config.yaml", _change_digit),
    "no_manifest": ("run.json", Path.unlink),
}


CASES = [("manifest", "basic"), ("manifest", "packed"), ("config", "packed"), ("no_manifest", "basic")]


@pytest.mark.parametrize(("damage", "launcher"), mark_slow(CASES, fast=CASES[:1], unpack=True))
def test_a_trial_with_damaged_records_restarts_in_a_clean_folder(
    damage: str, launcher: str, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    start_sweep(tiny, sweep, f"hydra/launcher={launcher}")
    trial, rows = read_trial(sweep / "0"), (sweep / "0" / "metrics.csv").read_bytes()
    stop_trial(sweep / "0")
    name, spoil = DAMAGES[damage]
    spoil(sweep / "0" / name)
    capfd.readouterr()
    call_copycat("resume", sweep)
    assert (sweep / "0-damaged-1" / "metrics.csv").read_bytes() == rows
    assert [row["epoch"] for row in read_history(sweep / "0")] == [0, 1]
    assert read_manifest(sweep / "0")["results"]["epochs"] == 2
    assert read_trial(sweep / "0").objectives == pytest.approx(trial.objectives)
    printed = capfd.readouterr().err
    assert f"{sweep / '0'}: its run starts again; the earlier files are in {sweep / '0-damaged-1'} now" in printed
    assert damage == "no_manifest" or f"copycat: {sweep / '0' / 'run.json'}: expected" in printed


def test_a_trial_that_ended_and_is_damaged_is_named_and_the_sweep_ends_with_status_1(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    start_sweep(tiny, sweep)
    (sweep / "0" / "run.json").write_text("{")
    capfd.readouterr()
    call_copycat("resume", sweep, status=1)
    assert f"copycat: {sweep / '0' / 'run.json'}: expected a run's manifest; it is no JSON" in capfd.readouterr().err
    assert not (sweep / "0-damaged-1").exists()


class Fault(pl.Callback):
    """Fail at the end of the first epoch while a file is there."""

    def __init__(self, *, while_there: str) -> None:
        self.file = Path(while_there)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.file.exists():
            raise ValueError("a fault")


def test_failed_trials_of_a_grid_run_again_on_request(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fault, sweep = tmp_path / "fault", tmp_path / "sweep"
    fault.touch()
    words = tiny_sweep_overrides(
        tiny, f"+callbacks.fault._target_={__name__}.Fault", f"+callbacks.fault.while_there=nowhere,{fault}"
    )
    call_copycat("train", "-m", *words, "model=logistic", f"sweep.folder={sweep}", status=1)
    trials = [read_trial(sweep / number) for number in "01"]
    assert [trial.status for trial in trials] == ["completed", "failed"]
    capfd.readouterr()
    call_copycat("resume", sweep, status=1)  # which keeps what failed
    assert f"\nto run again what failed: copycat resume {sweep} --failed\n" in capfd.readouterr().out
    assert [read_trial(sweep / number) for number in "01"] == trials
    fault.unlink()
    call_copycat("resume", sweep, "--failed")
    assert read_trial(sweep / "0") == trials[0]
    assert read_trial(sweep / "1").status == "completed"
    assert read_manifest(sweep / "1-failed-1")["error"] == "ValueError: a fault"
    capfd.readouterr()
    call_copycat("runs", sweep)
    assert "│ failed" not in (printed := capfd.readouterr().out)
    assert "completed, 2 of 2 trials" in printed


def test_failed_trials_of_a_search_and_single_runs_do_not_run_again(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    start_search("optimizer.lr=interval(0.1,1)", at=sweep)
    call_copycat("resume", sweep, "--failed", status=2)
    start_sweep(tiny, tmp_path / "grid", "trainer.max_epochs=1")
    call_copycat("resume", tmp_path / "grid" / "0", "--failed", status=2)
    first, *_, last = (line for line in capfd.readouterr().err.splitlines() if "--failed" in line)
    assert first.startswith(f"copycat: --failed: expected a grid; got the search {sweep}, whose study keeps its failed")
    assert last == f"copycat: --failed: expected a sweep; got the run {tmp_path / 'grid' / '0'}."


def test_a_damaged_trial_file_is_named_and_its_run_is_kept(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    start_sweep(tiny, sweep)
    trial, manifest = read_trial(sweep / "0"), (sweep / "0" / "run.json").stat()
    _change_byte(sweep / "0" / "trial.json")
    call_copycat("resume", sweep)
    expected = f"{sweep / '0' / 'trial.json'}: expected the record of a trial; it is no text"
    assert expected in capfd.readouterr().err
    assert read_trial(sweep / "0").objectives == trial.objectives
    assert (sweep / "0" / "run.json").stat() == manifest
    assert len(read_history(sweep / "0")) == 2


def change_trial(folder: Path, **changes: Any) -> None:
    """Change trial.json without the key that signs it."""
    content = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps(content | changes))


def test_the_signature_of_a_trial_is_invalid_once_it_is_changed_or_moved(tmp_path: Path) -> None:
    write_first_record(tmp_path / "3", 3, ["seed=1"], {"seed": 1})
    assert read_own_trial(tmp_path / "3") == read_trial(tmp_path / "3")
    (tmp_path / "3").rename(tmp_path / "4")
    assert read_own_trial(tmp_path / "4") is None
    (tmp_path / "4").rename(tmp_path / "3")
    change_trial(tmp_path / "3", attempts=1)
    assert read_own_trial(tmp_path / "3") is None


def test_overrides_that_were_forged_in_a_trial_of_a_grid_are_not_run(tmp_path: Path) -> None:
    space = compose_search("hydra/sweeper=grid", "seed=0,1", "optimizer.lr=0.1").space
    job = Grid(space, tmp_path).next()
    assert job is not None
    write_first_record(tmp_path / "0", 0, job.run_overrides, job.values)
    change_trial(tmp_path / "0", overrides=[*job.run_overrides, HOSTILE])
    again = Grid(space, tmp_path).next()
    assert again == job
    write_first_record(tmp_path / "0", 0, again.run_overrides, again.values)
    assert read_own_trial(tmp_path / "0") is not None
    assert read_trial(tmp_path / "0").overrides == job.run_overrides


@pytest.mark.parametrize("lost", [False, True])
def test_overrides_that_were_forged_in_a_trial_of_a_search_are_not_run(lost: bool, tmp_path: Path) -> None:
    words = ("model=logistic,shallow", "hydra.sweeper.n_trials=2")
    search = start_search(*words, at=tmp_path)
    job = search.next()
    assert job is not None
    write_first_record(tmp_path / "0", 0, job.run_overrides, job.values)
    change_trial(tmp_path / "0", overrides=[*job.run_overrides, HOSTILE])
    if lost:
        (tmp_path / "study.journal").unlink()
    again = start_search(*words, at=tmp_path).next()
    assert again == job


def test_choices_that_were_forged_in_a_journal_are_not_run(tmp_path: Path) -> None:
    words = ("model=logistic,shallow", "hydra.sweeper.n_trials=3")
    search = start_search(*words, at=tmp_path)
    run_trials(search, 1, lambda values: [1.0])
    search.next()
    journal = tmp_path / "study.journal"
    hostile = "{_target_: shutil.copy}"
    journal.write_text(journal.read_text().replace('\\"logistic\\"', f'\\"{hostile}\\"'))
    assert hostile in journal.read_text()
    open_storage.cache_clear()
    found = run_trials(start_search(*words, at=tmp_path), result=lambda values: [1.0])
    assert {values["model"] for values in found} <= {"logistic", "shallow"}


@pytest.mark.parametrize("name", ["study.journal", "0", ".lock"])
def test_a_sweep_whose_folder_holds_a_link_is_not_resumed(name: str, tmp_path: Path) -> None:
    sweep, outside = tmp_path / "sweep", tmp_path / "outside"
    start_search("seed=1,2", at=sweep)
    (sweep / name).unlink(missing_ok=True)
    (sweep / name).symlink_to(outside)
    with pytest.raises(UserError, match="expected a plain file or folder"):
        start_search("seed=1,2", at=sweep)
    assert not outside.exists()


def test_a_sweep_that_was_killed_while_it_wrote_its_first_file_can_be_started(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / ".sweep.json.0a1b2c").write_text("{")
    assert start_search("seed=1,2", at=tmp_path / "sweep").next() is not None


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_sweep_whose_folder_cannot_be_written_to_is_one_clear_line(
    is_resumed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_resumed:
        start_search("seed=1,2", at=tmp_path)

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("copycat.sweeps.sweep_file.write_whole", refuse)
    line = f"^sweep.folder: expected a folder to write to; got {tmp_path}: Read-only file system.$"
    with pytest.raises(UserError, match=line):
        start_search("seed=1,2", at=tmp_path)


def test_the_message_about_a_damaged_trial_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "\x1b[2J7"
    folder.mkdir()
    (folder / "run.json").write_text("{")
    assert find_run(folder, []) is None
    error = capsys.readouterr().err
    assert "run.json: expected a run's manifest; " in error
    assert error.rstrip("\n").isprintable()
