"""A sweep stops when its time is over, says what it did, and goes on to the bits of one that did not stop."""

import json
import re
from pathlib import Path

import pytest

from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_recorded
from copycat.reruns.rerun import rerun
from copycat.sweeps.start import record_end
from copycat.sweeps.sweep_file import SweepFile, write_sweep
from tests.support.commands import call_copycat
from tests.support.packs import PACKED, read_trials, run_sweep
from tests.support.parameters import mark_slow
from tests.support.run_folders import assert_same_bits
from tests.support.sweeps import read_sweep_file

SMALL = (
    "model=shallow",
    "model.hidden=[3]",
    "optimizer=adam",
    "logger=none",
    "sweep.max_time=0.1s",
    "trainer.check_val_every_n_epoch=100",
)
LAUNCHERS = {
    "alone": ("seed=1,2,3,4", "trainer.max_epochs=300"),
    "packed": ("seed=1,2,3,4", "trainer.max_epochs=300", PACKED),
    "processes": ("seed=1,2,3,4", "trainer.max_epochs=600", "hydra/launcher=processes", "hydra.launcher.workers=2"),
    "search": ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "seed=choice(1,2,3,4)", "trainer.max_epochs=300"),
}


# the signal may come while a file is being opened, as Ctrl-C may
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", mark_slow(LAUNCHERS, fast=["alone"]))
def test_a_sweep_whose_time_is_over_goes_on_to_the_same_bits(
    kind: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, *LAUNCHERS[kind]]
    folder = run_sweep(*words, data=tiny, at=tmp_path / "stopped")
    printed = (tmp_path / "stopped" / "output.txt").read_text()
    counts = r"(\d) trials? ended, (\d) stopped while running, (\d) not started"
    found = re.search(rf"^sweep\.max_time=0\.1s is over: {counts}$", printed, re.M)
    assert found is not None, printed
    ended, running, waiting = map(int, found.groups())
    assert ended + running + waiting == 4
    assert ended < 4
    assert sum(trial.status == "completed" for trial in read_trials(folder)) == ended
    record = read_sweep_file(folder)
    assert (record["status"], record["error"]) == ("stopped", found[0])
    assert record["seconds"] >= 0.1
    call_copycat("resume", folder, status=2)
    error = capsys.readouterr().err
    assert "sweep.max_time: expected more than" in error
    assert f"copycat resume {folder} sweep.max_time=MORE" in error
    call_copycat("resume", folder, "sweep.max_time=null")
    assert [trial.status for trial in read_trials(folder)] == ["completed"] * 4
    assert read_sweep_file(folder)["status"] == "completed"
    whole = run_sweep(*words, "sweep.max_time=null", data=tiny, at=tmp_path / "whole")
    for number in range(4):
        assert_same_bits(folder / str(number), whole / str(number))


def test_time_of_earlier_starts_counts_and_failed_trials_set_the_exit_status(tiny: Path, tmp_path: Path) -> None:
    words = ["seed=1,2", "trainer.max_epochs=2", "sweep.max_time=1h", "sweep.max_seconds=1e-9"]
    folder = run_sweep(*words, data=tiny, at=tmp_path, status=1)
    assert 0 < read_sweep_file(folder)["seconds"] < 60
    record_end(folder, status="stopped", seconds=4000.0, error="sweep.max_time=1h is over")
    call_copycat("resume", folder, status=2)
    call_copycat("resume", folder, "sweep.max_time=2h", status=1)
    assert read_sweep_file(folder)["seconds"] > 4000


def test_a_sweep_recorded_without_these_keys_resumes(tiny: Path, tmp_path: Path) -> None:
    folder = run_sweep("seed=1,2", "trainer.max_epochs=2", data=tiny, at=tmp_path)
    record = json.loads((folder / "sweep.json").read_text())
    del record["config_keys"]["trainer.max_time"], record["seconds"]
    fields = {name: value for name, value in record.items() if name not in ("schema", "signature")}
    write_sweep(folder, SweepFile(**fields))
    assert "trainer.max_time" not in read_sweep_file(folder)["config_keys"]
    call_copycat("resume", folder)


def test_a_packed_trial_ends_by_its_time_and_is_rerun_to_as_many_epochs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the copy lands
    words = ["seed=1,2", "trainer.max_epochs=1000000", "trainer.max_time=0.1s", PACKED, "logger=none"]
    folder = run_sweep(*words, data=tiny, at=tmp_path)
    for number in ("0", "1"):
        results = read_manifest(folder / number)["results"]
        ended = results["ended_early"]
        assert (ended["by"], ended["batch"], ended["max_epochs"]) == ("trainer.max_time", 0, 1_000_000)
        assert results["epochs"] == ended["epoch"] > 0
    assert [trial.status for trial in read_trials(folder)] == ["completed", "completed"]
    copy = rerun(open_recorded(folder / "1"), notify=lambda line: None)
    assert copy.comparison.epochs == results["epochs"]
    assert not copy.comparison.beyond(1e-4)
