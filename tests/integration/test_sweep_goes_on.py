"""Sweeps that are killed, interrupted or changed: nothing is lost, nothing runs twice."""

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from copycat.sweeps.race.record import read_race
from tests.support.commands import run_copycat, start_copycat
from tests.support.locks import hold_lock
from tests.support.sweeps import read_sweep_file, read_trial_files, tiny_sweep_overrides

pytestmark = pytest.mark.slow

SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-1))", "model=logistic,shallow")
SEARCH = ("hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_warmup_steps=1")


def study_of(sweep: Path) -> optuna.Study:
    return optuna.load_study(
        study_name=sweep.name, storage=JournalStorage(JournalFileBackend(str(sweep / "study.journal")))
    )


def kill_until_done(typed: list[str], *, at: Path, sweep: Path, seed: int, kills: int) -> int:
    """Start it again and again, killing its process group at random instants; the kills that came before its end."""
    chance, killed = random.Random(seed), 0
    while True:
        with start_copycat(*typed, at=at, new_session=True) as process:
            if killed == kills:
                _, errors = process.communicate(timeout=300)
                assert process.returncode == 0, errors
                return killed
            begun = len(read_trial_files(sweep)) + chance.randint(0, 2)
            while len(read_trial_files(sweep)) < begun and process.poll() is None:
                time.sleep(0.01)
            with suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.2) if begun else chance.uniform(0.2, 1))  # starting takes a second
                return killed
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1


def test_a_search_that_is_killed_again_and_again_has_each_trial_once(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = [
        "train",
        "-m",
        *SEARCH,
        *tiny_sweep_overrides(tiny, *SPACE),
        "hydra.sweeper.n_trials=10",
        f"sweep.folder={sweep}",
    ]
    assert kill_until_done(typed, at=tmp_path, sweep=sweep, seed=0, kills=3) == 3
    found, study = read_trial_files(sweep), study_of(sweep)
    assert sorted(found) == list(range(10))
    assert [trial.number for trial in study.trials] == list(range(10))
    for trial in study.trials:
        said = found[trial.number]
        assert said["status"] == {"COMPLETE": "completed", "PRUNED": "pruned"}[trial.state.name]
        assert float(trial.params["optimizer.lr"]) == said["values"]["optimizer.lr"]
        if trial.value is not None and said["status"] == "completed":
            assert trial.value == said["objectives"]["val/loss"]
    assert read_sweep_file(sweep)["status"] == "completed"


def test_a_search_that_is_killed_proposes_what_one_that_runs_through_does(tiny: Path, tmp_path: Path) -> None:
    """One trial at a time, what a sampler proposes is a function of its seed and of what it was told."""
    asked = [
        *SEARCH,
        *tiny_sweep_overrides(tiny, *SPACE),
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.sampler.n_startup_trials=3",
    ]
    through, killed = tmp_path / "through", tmp_path / "killed"
    assert run_copycat("train", "-m", *asked, f"sweep.folder={through}", at=tmp_path).returncode == 0
    kill_until_done(["train", "-m", *asked, f"sweep.folder={killed}"], at=tmp_path, sweep=killed, seed=1, kills=2)
    values = [
        {number: (t["values"], t["objectives"], t["status"]) for number, t in read_trial_files(at).items()}
        for at in (through, killed)
    ]
    assert values[0] == values[1]


def test_a_grid_goes_on_by_the_name_of_its_folder(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = [*tiny_sweep_overrides(tiny, "seed=range(6)"), f"sweep.folder={sweep}"]
    with start_copycat("train", "-m", *typed, at=tmp_path) as started:
        until = time.monotonic() + 60
        while sum(trial["status"] == "completed" for trial in read_trial_files(sweep).values()) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
        started.kill()
    before = {
        number: trial["ended"] for number, trial in read_trial_files(sweep).items() if trial["status"] == "completed"
    }
    done = run_copycat("resume", sweep, at=tmp_path)
    assert done.returncode == 0, done.stderr
    after = read_trial_files(sweep)
    assert sorted(after) == list(range(6))
    assert {trial["status"] for trial in after.values()} == {"completed"}
    assert {number: after[number]["ended"] for number in before} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("optimizer.lr=2e-3", "optimizer.lr"),
        ("seed=0,1,2", "seed"),
        ("model=shallow,logistic", "model"),
    ],
)
def test_a_sweep_that_was_changed_is_refused_unless_that_is_asked_for(
    change: str, named: str, tiny: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    typed = ["train", "-m", *tiny_sweep_overrides(tiny, "seed=0,1"), f"sweep.folder={sweep}"]
    assert run_copycat(*typed, at=tmp_path).returncode == 0
    done = run_copycat(*typed, change, at=tmp_path)
    assert done.returncode == 2
    progress, line = done.stderr.splitlines()
    assert progress.startswith("copycat: checking the sweep over ")
    assert line.startswith("copycat: sweep.folder: expected the sweep that began in ")
    assert named in line
    assert run_copycat(*typed, change, "sweep.allow_changes=true", at=tmp_path).returncode == 0


def test_a_sweep_that_is_typed_elsewhere_does_not_go_on_with_other_images(tiny: Path, tmp_path: Path) -> None:
    for name in ("here", "there"):
        shutil.copytree(tiny, tmp_path / name / "photos")
    sweep, words = tmp_path / "sweep", tiny_sweep_overrides(Path("photos"), "seed=0,1")
    typed = ["train", "-m", *words, f"sweep.folder={sweep}"]
    assert run_copycat(*typed, at=tmp_path / "here").returncode == 0
    done = run_copycat(*typed, at=tmp_path / "there")
    assert done.returncode == 2
    assert f"changed since: data.root, which is relative to {tmp_path / 'here'}. To resume" in done.stderr
    assert run_copycat(*typed, at=tmp_path / "here").returncode == 0


def test_a_search_is_given_more_trials(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = ["train", "-m", "hydra/sweeper=optuna", *tiny_sweep_overrides(tiny, SPACE[0]), f"sweep.folder={sweep}"]
    assert run_copycat(*typed, "hydra.sweeper.n_trials=2", at=tmp_path).returncode == 0
    assert run_copycat(*typed, "hydra.sweeper.n_trials=4", at=tmp_path).returncode == 0
    assert sorted(read_trial_files(sweep)) == [0, 1, 2, 3]
    assert len(study_of(sweep).trials) == 4


def test_a_sweep_that_another_process_runs_is_left_to_it(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    typed = ("train", "-m", *tiny_sweep_overrides(tiny, "seed=0,1"), f"sweep.folder={sweep}")
    assert run_copycat(*typed, at=tmp_path).returncode == 0
    with hold_lock(sweep):
        done = run_copycat("resume", sweep, at=tmp_path)
    assert done.returncode == 2
    progress, line = done.stderr.splitlines()
    assert progress == "copycat: checking the sweep over seed"
    assert line == f"copycat: {sweep}: expected a sweep that stopped; it is still running."


def test_a_stranger_s_sweep_is_not_gone_on_with(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    run_copycat("train", "-m", *tiny_sweep_overrides(tiny, "seed=0,1"), f"sweep.folder={sweep}", at=tmp_path)
    text = (sweep / "sweep.json").read_text()
    (sweep / "sweep.json").write_text(text.replace('"seed=0,1"', '"seed=0,1","model._target_=builtins.print"'))
    done = run_copycat("resume", sweep, at=tmp_path)
    assert done.returncode == 2
    assert "expected a sweep that you made" in done.stderr


def test_a_race_that_is_killed_again_and_again_ends_as_one_that_was_not(tiny: Path, tmp_path: Path) -> None:
    words = tiny_sweep_overrides(tiny, "model=logistic", "optimizer.lr=1e-6,0.1", "data.folds=4", "sweep.prove=true")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    typed = ["train", "-m", *words, f"sweep.folder={killed}"]
    assert kill_until_done(typed, at=tmp_path, sweep=killed / "race", seed=5, kills=4) == 4
    done = run_copycat("train", "-m", *words, f"sweep.folder={whole}", at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_race(killed) == read_race(whole)
    assert read_race(killed).report is not None
    assert read_sweep_file(killed / "race")["status"] == "completed"
