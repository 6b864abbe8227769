"""A study is restored from the trials of its sweep; texts in its journal are data."""

import json
from pathlib import Path

import optuna
import pytest

from copycat.config.errors import UserError
from copycat.records.run_folder import read_manifest
from copycat.sweeps.search.storage import open_storage
from copycat.sweeps.trial_folder import write_first_record
from tests.support.packs import run_sweep
from tests.support.search import finish_trial, run_trials, start_search

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


@pytest.mark.parametrize("record", [None, "{"], ids=["without a record", "with a damaged record"])
def test_a_trial_without_a_record_starts_again_in_a_restored_study(record: str | None, tmp_path: Path) -> None:
    through = run_trials(start_search(*WORDS, at=tmp_path / "through"))
    stopped = tmp_path / "stopped"
    run_trials(start_search(*WORDS, at=stopped), 3)
    (stopped / "1" / "trial.json").unlink()  # as if the process was killed before it wrote this file
    if record:
        (stopped / "1" / "trial.json").write_text(record)
    (stopped / "study.journal").unlink()
    open_storage.cache_clear()
    again = run_trials(start_search(*WORDS, at=stopped))
    assert again == [through[1], *through[3:]]


def test_a_study_has_the_violations_of_each_trial_without_a_warning(tiny: Path, tmp_path: Path) -> None:
    words = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "model=shallow", "model.hidden=[1],[9]")
    constraint = "parameters<=500"
    folder = run_sweep(*words, f"sweep.constraints=['{constraint}']", "trainer.max_epochs=1", data=tiny, at=tmp_path)
    (study,) = optuna.get_all_study_summaries(open_storage(None, folder))
    trials = optuna.load_study(study_name=study.study_name, storage=open_storage(None, folder)).trials
    sizes = [read_manifest(folder / str(number))["results"]["parameters"] for number in range(3)]
    assert [trial.constraints for trial in trials] == [{constraint: size - 500.0} for size in sizes]


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
