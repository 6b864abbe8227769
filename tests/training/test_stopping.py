"""A pruner or a time limit ends a run with its records whole."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from copycat.training.stopping import Limits
from copycat.training.train import train
from tests.support.killed_runs import kill_run
from tests.support.runs import compose_quickly

pytestmark = pytest.mark.usefixtures("all_checkpoints")


def test_a_pruner_gets_each_epoch_s_metrics_once_and_those_before_a_resume_too(tiny: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def judge(epoch: int, metrics: Mapping[str, float]) -> str | None:
        seen.append((epoch, metrics["val/loss"]))
        return None

    folder = kill_run(tiny, tmp_path, after=("epoch", 4))
    resume(open_run(folder), notify=lambda line: None, limits=Limits(pruner=judge))
    rows = read_history(folder)
    assert seen == [(epoch, rows[epoch]["val/loss"]) for epoch in (0, 1)]  # after the last there is nothing to end


def test_a_pruned_run_ends_between_two_epochs_with_its_records_whole(tiny: Path, tmp_path: Path) -> None:
    limits = Limits(pruner=lambda epoch, metrics: "worse than others" if epoch == 1 else None)
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}"]
    outcome = train(compose_quickly([*where, "trainer.max_epochs=9"]), limits=limits)
    assert (outcome.status, outcome.manifest["error"]) == ("pruned", "worse than others")
    assert len(read_history(outcome.folder)) == 2
    assert resume(open_run(outcome.folder), notify=lambda line: None).status == "completed"
    assert len(read_history(outcome.folder)) == 9


def test_a_run_that_takes_longer_than_it_may_has_failed(tiny: Path, tmp_path: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8", f"output_dir={tmp_path}"]
    outcome = train(compose_quickly([*where, "trainer.max_epochs=100000"]), limits=Limits(seconds=0.5))
    assert (outcome.status, outcome.manifest["error"]) == ("failed", "time limit: it took more than 0.5 s")
