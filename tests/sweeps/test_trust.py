"""What somebody else wrote into the folder of one's own sweep leads to nothing that is built."""

import json
from pathlib import Path
from typing import Any

import pytest

from copycat.config.errors import UserError
from copycat.runs.trial_file import Trial, read_own_trial, read_trial, write_trial
from copycat.sweeps.sweeper import Grid
from tests.support.commands import run_copycat
from tests.support.search import compose_search, start_search
from tests.support.sweeps import tiny_sweep_overrides

SPACE = ("optimizer.lr=tag(log,interval(1e-4,1))", "hydra.sweeper.n_trials=3")
EVIL = "+callbacks.x={_target_: shutil.copy, src: a, dst: b}"


def change_trial(folder: Path, **changes: Any) -> None:
    found = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps({**found, **changes}))


def make_trial(folder: Path) -> None:
    write_trial(folder, Trial(number=int(folder.name), overrides=["seed=1"], values={"seed": 1}, started="now"))


def test_a_trial_that_one_started_is_known_again(tmp_path: Path) -> None:
    make_trial(tmp_path / "0")
    assert read_own_trial(tmp_path / "0").overrides == ["seed=1"]


@pytest.mark.parametrize("changes", [{"overrides": [EVIL]}, {"seal": None}, {"seal": "0" * 64}], ids=str)
def test_a_trial_that_somebody_changed_is_read_but_not_run(changes: dict[str, Any], tmp_path: Path) -> None:
    make_trial(tmp_path / "0")
    change_trial(tmp_path / "0", **changes)
    assert read_trial(tmp_path / "0").number == 0
    with pytest.raises(UserError, match=r"0/trial\.json: expected a trial that you started; its seal is not yours\."):
        read_own_trial(tmp_path / "0")


def test_the_record_of_another_trial_is_not_run_either(tmp_path: Path) -> None:
    make_trial(tmp_path / "1")
    (tmp_path / "1").rename(tmp_path / "0")
    with pytest.raises(UserError, match="expected a trial that you started"):
        read_own_trial(tmp_path / "0")


def test_a_grid_refuses_a_changed_trial(tmp_path: Path) -> None:
    grid = compose_search("hydra/sweeper=grid", "seed=1,2").space
    make_trial(tmp_path / "0")
    change_trial(tmp_path / "0", overrides=["seed=1", EVIL])
    with pytest.raises(UserError, match="expected a trial that you started"):
        Grid(grid, tmp_path).next()


def test_a_search_refuses_a_changed_trial(tmp_path: Path) -> None:
    job = start_search(*SPACE, at=tmp_path / "sweep").next()
    assert job is not None
    folder = tmp_path / "sweep" / "0"
    write_trial(folder, Trial(number=0, overrides=job.of_run, values=job.values, started="now"))
    change_trial(folder, overrides=[*job.of_run, EVIL])
    with pytest.raises(UserError, match="expected a trial that you started"):
        start_search(*SPACE, at=tmp_path / "sweep").next()


def test_text_for_a_number_in_the_journal_is_not_run(tmp_path: Path) -> None:
    assert start_search(*SPACE, at=tmp_path / "sweep").next() is not None
    (tmp_path / "sweep").rename(tmp_path / "changed")  # a study is read once by its path
    journal = tmp_path / "changed" / "study.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    (drawn,) = (line for line in lines if line.get("param_name") == "optimizer.lr")
    drawn["param_value_internal"] = "{_target_: shutil.copy, src: a, dst: b}"
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(UserError, match=r"expected a number for optimizer\.lr; the study has '\{_target_: shutil"):
        start_search(*SPACE, at=tmp_path / "changed").next()


@pytest.mark.slow
def test_a_sweep_is_not_resumed_with_a_trial_that_somebody_changed(tiny: Path, tmp_path: Path) -> None:
    run_copycat("train", "-m", *tiny_sweep_overrides(tiny, "seed=0,1"), "sweep.folder=sweep", at=tmp_path)
    copied = {"_target_": "shutil.copy", "src": str(tmp_path / "sweep" / "sweep.json"), "dst": str(tmp_path / "copied")}
    words = ", ".join(f"{name}: {value}" for name, value in copied.items())
    folder = tmp_path / "sweep" / "1"
    change_trial(folder, status="running", overrides=["seed=1", f"+callbacks.x={{{words}}}"])
    (folder / "run.json").unlink()
    done = run_copycat("resume", "sweep", at=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("copycat: sweep/1/trial.json: expected a trial that you started;")
    assert not (tmp_path / "copied").exists()
