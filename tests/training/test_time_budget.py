"""A run ends by its time budget between two steps; it goes on, and is rerun, to the same bits."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.lightning_internals import Position
from copycat.training.resume import resume
from copycat.training.stopping import Limits
from copycat.training.train import RunResult, train
from tests.support.killed_runs import JOBS, assert_same_folders, train_killable
from tests.support.parameters import mark_slow
from tests.support.runs import compose_quickly, train_tiny

pytestmark = pytest.mark.usefixtures("all_checkpoints")

WAYS = {
    "many steps at once": (),
    "single steps": ("trainer.steps_per_execution=1",),
    "moving average": ("callbacks=[default,ema]",),
    "validation every other epoch": ("trainer.check_val_every_n_epoch=2",),
    "accumulated gradients": ("trainer.accumulate_grad_batches=2",),
}
FAST = ["many steps at once", "single steps"]
WORDS = ("data.batch_size=4", "data.shuffle=true", "optimizer=adam", "trainer.max_epochs=4", "logger=none")


def end_at(position: Position, *words: str, data: Path, at: Path) -> RunResult:
    """Train to a position, as if the time had been over there."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8", f"output_dir={at}"]
    request = compose_quickly([*where, *WORDS, "trainer.max_time=1h", *words])
    return train(request, limits=Limits(end=position))


@pytest.mark.parametrize("way", mark_slow(WAYS, fast=FAST))
@pytest.mark.parametrize("position", [Position(1, 2), Position(2)], ids=str)
def test_a_run_that_ended_goes_on_and_is_rerun_to_the_bits_of_one_that_did_not(
    way: str, position: Position, tiny: Path, tmp_path: Path
) -> None:
    whole = train_tiny(*WORDS, *WAYS[way], data=tiny, at=tmp_path / "whole")
    ended = end_at(position, *WAYS[way], data=tiny, at=tmp_path / "ended")
    assert ended.status == "completed"
    assert ended.manifest["results"]["ended_early"] == {
        "by": "trainer.max_time",
        "epoch": position.epoch,
        "batch": position.batch,
        "max_epochs": 4,
    }
    assert len(read_history(ended.folder)) == position.epoch
    copy = rerun(open_recorded(ended.folder), notify=lambda line: None)
    assert not copy.causes
    assert not copy.comparison.differences
    assert copy.comparison.tensors > 0
    assert copy.outcome.manifest["results"] == ended.manifest["results"]
    assert (
        resume(open_run(ended.folder), notify=lambda line: None, more={"trainer.max_time": None}).status == "completed"
    )
    assert_same_folders(ended.folder, whole.folder)
    assert "ended_early" not in read_manifest(ended.folder)["results"]
    assert not rerun(open_recorded(ended.folder), notify=lambda line: None).comparison.differences


def test_the_final_metrics_of_a_run_that_ended_are_those_of_a_run_of_so_many_epochs(tiny: Path, tmp_path: Path) -> None:
    ended = end_at(Position(2), data=tiny, at=tmp_path / "ended")
    short = train_tiny(*WORDS, "trainer.max_epochs=2", data=tiny, at=tmp_path / "short")
    assert ended.manifest["results"]["final"] == short.manifest["results"]["final"]
    weights = [(run.folder / "weights.safetensors").read_bytes() for run in (ended, short)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("steps", ["null", "1"])
def test_a_run_ends_by_the_clock_and_counts_the_seconds_before_a_resume(steps: str, tiny: Path, tmp_path: Path) -> None:
    words = ["trainer.max_epochs=1000000", f"trainer.steps_per_execution={steps}", "callbacks=none", "logger=none"]
    outcome = train_tiny(*words, "trainer.max_time=0.2s", data=tiny, at=tmp_path)
    ended = outcome.manifest["results"]["ended_early"]
    assert outcome.status == "completed"
    assert 0 < ended["epoch"] < 1_000_000
    assert outcome.manifest["seconds"] >= 0.2
    with pytest.raises(UserError, match=r"trainer\.max_time=MORE"):
        resume(open_run(outcome.folder), notify=lambda line: None)
    with pytest.raises(UserError, match=r"expected more than the run's 0\.2s; got 0\.1s"):
        resume(open_run(outcome.folder), notify=lambda line: None, more={"trainer.max_time": 0.1})
    with pytest.raises(UserError, match=r"Type trainer\.max_time=MORE too"):
        resume(open_run(outcome.folder), notify=lambda line: None, more={"trainer.max_epochs": 2_000_000})
    more = f"{outcome.manifest['seconds'] + 0.5:.2f}s"
    longer = resume(open_run(outcome.folder), notify=lambda line: None, more={"trainer.max_time": more})
    assert longer.manifest["results"]["ended_early"]["epoch"] > ended["epoch"]
    assert longer.manifest["resumed"][-1]["max_time"] == more
    assert longer.manifest["seconds"] >= outcome.manifest["seconds"] + 0.49
    assert read_manifest(longer.folder)["request"]["overrides"][-1] == f"trainer.max_time={more}"
    copy = rerun(open_recorded(longer.folder), notify=lambda line: None)
    assert not copy.comparison.differences
    assert copy.comparison.epochs == longer.manifest["results"]["ended_early"]["epoch"]


def test_a_killed_run_s_time_counts_after_its_resume(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=1000000", "trainer.max_time=0.2s", data=tiny, at=tmp_path)
    manifest = read_manifest(outcome.folder)
    write_manifest(outcome.folder, {**manifest, "status": "running", "results": {}})
    again = resume(open_run(outcome.folder), notify=lambda line: None)  # killed after its last checkpoint
    assert again.manifest["results"] == outcome.manifest["results"]


def test_a_run_with_time_left_has_all_epochs_and_bits(tiny: Path, tmp_path: Path) -> None:
    reference = train_killable(tiny, tmp_path / "a", *JOBS["cosine"])
    within = train_killable(tiny, tmp_path / "b", *JOBS["cosine"], "trainer.max_time=1h")
    assert_same_folders(within.folder, reference.folder)
    with pytest.raises(UserError, match=r"expected a run that ended by its time"):
        resume(open_run(within.folder), notify=lambda line: None, more={"trainer.max_time": "2h"})
