"""A study is restored from the trials of its sweep; texts in its journal are data."""

import json
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.sweeps.search.storage import open_storage
from copycat.sweeps.trial_folder import write_first_record
from tests.support.search import finish_trial, start_search

WORDS = ("optimizer.lr=tag(log,interval(1e-4,1))", "model=logistic,shallow", "hydra.sweeper.n_trials=6")


def test_running_trials_are_finished_in_a_restored_study(tmp_path: Path) -> None:
    of = start_search(*WORDS, at=tmp_path)
    jobs = [job for job in (of.next(), of.next(), of.next()) if job]
    for job in jobs:
        write_first_record(tmp_path / str(job.number), job.number, job.run_overrides, job.values)
    finish_trial(of, jobs[1])
    (tmp_path / "study.journal").unlink()
    open_storage.cache_clear()
    again = start_search(*WORDS, at=tmp_path)
    left = [job for job in (again.next(), again.next()) if job]
    assert [(job.number, job.values) for job in left] == [(0, jobs[0].values), (2, jobs[2].values)]
    assert [trial.state.name for trial in again.study.trials] == ["RUNNING", "COMPLETE", "RUNNING"]
    assert [trial.params["model"] for trial in again.study.trials] == [job.values["model"] for job in jobs]


def test_text_for_a_number_in_the_journal_is_not_run(tmp_path: Path) -> None:
    assert start_search(*WORDS, at=tmp_path / "sweep").next() is not None
    (tmp_path / "sweep").rename(tmp_path / "changed")  # a study is read once by its path
    journal = tmp_path / "changed" / "study.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    (drawn,) = (line for line in lines if line.get("param_name") == "optimizer.lr")
    drawn["param_value_internal"] = "{_target_: shutil.copy, src: a, dst: b}"
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(UserError, match=r"expected a number for optimizer\.lr; the study has '\{_target_: shutil"):
        start_search(*WORDS, at=tmp_path / "changed").next()
