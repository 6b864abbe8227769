"""Sweeps over several processes and machines: one study in a real PostgreSQL, a real Ray cluster, submitit."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage

from tests.support.commands import RunningCommand, run_copycat, start_copycat
from tests.support.postgres import Postgres
from tests.support.sweeps import read_sweep_file, read_trial_files, tiny_sweep_overrides

pytestmark = [pytest.mark.slow, pytest.mark.server]

SPACE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    database = Postgres()
    try:
        database.start()
        yield database
        database.stop()
    finally:
        database.remove()


def search_command(tiny: Path, url: str, sweep: Path, *more: str, count: int) -> list[str]:
    study = ["hydra/sweeper=optuna", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.study_name=shared"]
    asked = [*tiny_sweep_overrides(tiny, SPACE, *more), f"hydra.sweeper.n_trials={count}", f"sweep.folder={sweep}"]
    return ["train", "-m", *study, *asked]


def wait_for_success(process: RunningCommand) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_two_processes_share_a_study_and_each_trial_is_run_by_one(
    tiny: Path, tmp_path: Path, postgres: Postgres
) -> None:
    pruned = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_warmup_steps=1")
    with ExitStack() as ended:
        started = [
            ended.enter_context(
                start_copycat(*search_command(tiny, postgres.url, tmp_path / name, *pruned, count=12), at=tmp_path)
            )
            for name in ("one", "two")
        ]
        for process in started:
            wait_for_success(process)
    one, two = (read_trial_files(tmp_path / name) for name in ("one", "two"))
    assert one
    assert two
    assert not one.keys() & two.keys()
    assert sorted([*one, *two]) == list(range(12))
    storage = RDBStorage(postgres.url)
    study = optuna.load_study(study_name="shared", storage=storage)
    assert all(trial.state.is_finished() for trial in study.trials[:12])
    storage.remove_session()
    storage.engine.dispose()
    assert read_sweep_file(tmp_path / "one")["status"] == "completed"


def test_a_database_that_goes_away_for_a_while_costs_a_pause_not_the_sweep(
    tiny: Path, tmp_path: Path, postgres: Postgres
) -> None:
    command = search_command(tiny, postgres.url, tmp_path / "sweep", "hydra/sweeper/pruner=median", count=8)
    with start_copycat(*command, at=tmp_path) as sweep:
        until = time.monotonic() + 120
        while sum(trial["status"] != "running" for trial in read_trial_files(tmp_path / "sweep").values()) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        postgres.stop()
        time.sleep(3)
        done = len(read_trial_files(tmp_path / "sweep"))
        assert sweep.poll() is None
        postgres.start()
        wait_for_success(sweep)
    assert done < 8  # it was away while the sweep was on its way
    found = read_trial_files(tmp_path / "sweep")
    assert sorted(found) == list(range(8))
    assert {trial["status"] for trial in found.values()} <= {"completed", "pruned"}


def test_a_database_that_is_not_there_is_one_line(tiny: Path, tmp_path: Path) -> None:
    command = search_command(tiny, "sqlite:////nowhere/study.db", tmp_path / "sweep", count=2)
    done = run_copycat(*command, at=tmp_path)
    assert done.returncode == 2
    progress, line = done.stderr.splitlines()
    assert progress.startswith("copycat: checking the sweep over ")
    assert line.startswith("copycat: hydra.sweeper.storage: expected a database that can be opened; ")


# one process, which Ray starts for two trials, submitit for each
@pytest.mark.parametrize(
    ("launcher", "seeds"), [(("ray", "hydra.launcher.max_submitted=1"), (0, 1)), (("submitit_local",), (1,))]
)
def test_a_launcher_for_clusters_runs_each_trial_in_its_folder(
    launcher: Sequence[str], seeds: Sequence[int], tiny: Path, tmp_path: Path
) -> None:
    name, *more = launcher
    typed = ("train", "-m", f"hydra/launcher={name}", *more, *tiny_sweep_overrides(tiny))
    done = run_copycat(*typed, f"seed={','.join(map(str, seeds))}", "sweep.folder=sweep", at=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = read_trial_files(tmp_path / "sweep")
    assert [trials[number]["status"] for number in range(len(seeds))] == ["completed"] * len(seeds)
    run_copycat("train", *tiny_sweep_overrides(tiny, "seed=1"), "output_dir=alone", at=tmp_path)
    (alone,) = tmp_path.glob("alone/*/*/*/metrics.csv")
    assert (tmp_path / "sweep" / str(seeds.index(1)) / "metrics.csv").read_bytes() == alone.read_bytes()


def test_a_job_that_the_cluster_ends_is_submitted_again_and_ends_with_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    words = tiny_sweep_overrides(tiny, "trainer.max_epochs=4000", "trainer.check_val_every_n_epoch=2000")
    typed = ("train", "-m", "hydra/launcher=submitit_local", *words, "seed=1", "sweep.folder=sweep")
    with start_copycat(*typed, at=tmp_path) as sweep:
        until = time.monotonic() + 120
        while (job := find_training_job(sweep.pid, tmp_path / "sweep" / "0")) is None:
            assert time.monotonic() < until
            time.sleep(0.05)
        job.send_signal(signal.SIGUSR2)
        wait_for_success(sweep)
    (trial,) = read_trial_files(tmp_path / "sweep").values()
    assert (trial["status"], trial["epochs_at_start"] > 0) == ("completed", True)
    run_copycat("train", *words, "seed=1", "output_dir=alone", at=tmp_path)
    (alone,) = tmp_path.glob("alone/*/*/*/metrics.csv")
    assert (tmp_path / "sweep" / "0" / "metrics.csv").read_bytes() == alone.read_bytes()


def find_training_job(sweep: int, folder: Path) -> psutil.Process | None:
    """Find the process that trains the trial, once its first checkpoint is written."""
    if not (folder / "checkpoints" / "last.ckpt").exists():
        return None
    processes = psutil.Process(sweep).children(recursive=True)
    return next((process for process in processes if "submitit.core._submit" in process.cmdline()), None)


def test_a_launcher_that_cannot_start_trials_ends_the_sweep_with_one_line(tiny: Path, tmp_path: Path) -> None:
    typed = (
        "train",
        "-m",
        "hydra/launcher=submitit_slurm",
        *tiny_sweep_overrides(tiny, "seed=range(2)"),
        "sweep.folder=sweep",
    )
    done = run_copycat(*typed, at=tmp_path, environment={"PATH": str(tmp_path)})  # without SLURM's commands
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("copycat: hydra/launcher: expected trials to be started; ")
    assert "slurm" in done.stderr
    assert read_sweep_file(tmp_path / "sweep")["status"] == "interrupted"
    went_on = run_copycat(
        "train", "-m", *tiny_sweep_overrides(tiny, "seed=range(2)"), "sweep.folder=sweep", at=tmp_path
    )
    assert went_on.returncode == 0, went_on.stderr
