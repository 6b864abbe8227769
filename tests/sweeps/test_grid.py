"""Grids run every combination once, also when resumed with overrides in another order."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copycat.config.sweep_composition import SweepRequest, compose_sweep
from copycat.records.reader import parse_config
from copycat.records.trial_file import Trial, write_trial
from copycat.sweeps.job import Job
from copycat.sweeps.sweeper import Grid
from copycat.training.manifest import now
from tests.support.packs import run_sweep
from tests.support.runs import QUIET


@pytest.fixture(scope="module")
def shuffled() -> SweepRequest:
    return compose_sweep(["seed=shuffle(range(4))", "activation=relu,tanh"])


def _run(asked: SweepRequest, folder: Path, most: int = 1000, *, end: bool = True) -> list[Job]:
    """Take up to `most` trials of a grid in order, and end each at once."""
    grid, found = Grid(asked.space, folder), list[Job]()
    while len(found) < most and (job := grid.next()):
        status = "completed" if end else "running"
        trial = Trial(number=job.number, overrides=job.run_overrides, values=job.values, status=status, started=now())
        write_trial(folder / str(job.number), trial)
        found.append(job)
    return found


def _values(jobs: list[Job]) -> list[tuple[tuple[str, Any], ...]]:
    return sorted(tuple(sorted(job.values.items())) for job in jobs)


@settings(max_examples=15)
@given(st.integers(0, 7), st.booleans())
def test_a_resumed_shuffled_grid_has_each_trial_once(
    shuffled: SweepRequest, tmp_path_factory: pytest.TempPathFactory, stop: int, ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    before = _run(shuffled, folder, stop, end=ended)
    after = _run(shuffled, folder)
    jobs = (before if ended else []) + after
    assert sorted(job.number for job in jobs) == list(range(8))
    assert len(set(_values(jobs))) == 8


def test_a_grid_typed_in_another_order_is_resumed(tmp_path: Path) -> None:
    before = _run(compose_sweep(["seed=0,1,2", "activation=relu,tanh"]), tmp_path, 3)
    after = _run(compose_sweep(["activation=relu,tanh", "seed=0,1,2"]), tmp_path)
    assert len(set(_values(before + after))) == len(before + after) == 6


def test_a_grid_that_was_changed_on_purpose_runs_its_new_trials(tmp_path: Path) -> None:
    _run(compose_sweep(["seed=0,1,2", "optimizer.lr=0.1"]), tmp_path, 2)
    _run(compose_sweep(["seed=0,1,2", "optimizer.lr=0.1"]), tmp_path, 1, end=False)
    changed = compose_sweep(["seed=2,1,5,6", "optimizer.lr=0.5"])
    jobs = _run(changed, tmp_path)
    assert [(job.values["seed"], job.number) for job in jobs] == [(2, 2), (5, 4), (6, 3)]
    assert "optimizer.lr=0.1" in jobs[0].overrides  # begun with that
    assert Grid(changed.space, tmp_path).total == len(list(tmp_path.iterdir())) == 5  # seed=0 is in the grid no longer
    assert "optimizer.lr=0.5" in jobs[1].overrides


def test_a_preset_s_reference_takes_each_trial_s_own_value(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "conf/sweep").mkdir(parents=True)
    axes = "{optimizer.lr: '0.1,0.2', optimizer.weight_decay: '${optimizer.lr}'}"
    (tmp_path / "conf/sweep/mine.yaml").write_text(f"defaults: [default]\nparams: {axes}\n")
    folder = run_sweep("sweep=mine", "trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path)
    recorded = [parse_config(folder / name)[1] for name in ("0", "1")]
    assert [config["optimizer"]["weight_decay"] for config in recorded] == [0.1, 0.2]
