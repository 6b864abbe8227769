"""From Python one reads a sweep, its best trial, and the table of runs."""

from pathlib import Path

import pytest

import copycat
from copycat import Sweep, UserError
from tests.support.packs import run_sweep


@pytest.fixture(scope="module")
def sweep(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    words = ("optimizer.lr=1e-3,0.1", "seed=1,2", "trainer.max_epochs=3", "logger=none")
    return copycat.load_sweep(run_sweep(*words, data=tiny, at=tmp_path_factory.mktemp("sweep")))


def test_the_trials_stand_from_the_best_on(sweep: Sweep) -> None:
    assert (sweep.status, sweep.objectives) == ("completed", {"val/loss": "minimize"})
    losses = sweep.trials["val/loss"]
    assert losses == sorted(losses)
    assert sorted(sweep.trials["trial"]) == [0, 1, 2, 3]
    assert {(row["optimizer.lr"], row["seed"]) for row in sweep.trials} == {
        (lr, seed) for lr in (1e-3, 0.1) for seed in (1, 2)
    }
    assert "completed" in sweep._repr_html_()


def test_the_best_is_of_the_best_configuration(sweep: Sweep) -> None:
    means = {lr: sum(row["val/loss"] for row in sweep.trials if row["optimizer.lr"] == lr) / 2 for lr in (1e-3, 0.1)}
    best = sweep.best()
    assert best.config["optimizer"]["lr"] == min(means, key=means.__getitem__)
    assert best.best["val/loss"] == min(
        row["val/loss"] for row in sweep.trials if row["optimizer.lr"] == best.config["optimizer"]["lr"]
    )
    assert sweep[2].config["optimizer"]["lr"] == 0.1


def test_runs_of_a_folder_are_a_table(sweep: Sweep) -> None:
    runs = copycat.read_runs(sweep.folder)
    assert len(runs) == 4
    assert runs["status"] == ["completed"] * 4
    with pytest.raises(UserError, match="expected a folder of runs"):
        copycat.read_runs(sweep.folder / "nowhere")
    with pytest.raises(UserError):
        copycat.load_sweep(sweep.folder / "0")
