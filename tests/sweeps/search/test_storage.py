"""Storages of a study that are moved, truncated, damaged, lost, or a database."""

import os
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from copycat.config.errors import UserError
from copycat.sweeps.search import storage
from copycat.sweeps.search.storage import flushed_once, make_lock, open_storage
from tests.support.search import finish_trial, learning_rate_loss, run_trials, start_search

WORDS = ("optimizer.lr=tag(log,interval(1e-4,1))", "model=logistic,shallow", "hydra.sweeper.n_trials=6")
STARTUP = "hydra.sweeper.sampler.n_startup_trials=2"


@pytest.fixture(autouse=True)
def _anew() -> None:
    """Close all storages, as in a new process."""
    open_storage.cache_clear()


def test_a_sweep_is_resumed_in_a_folder_that_was_moved_and_renamed(tmp_path: Path) -> None:
    through = run_trials(start_search(*WORDS, STARTUP, at=tmp_path / "through"))
    before = run_trials(start_search(*WORDS, STARTUP, at=tmp_path / "old"), 3)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "old", tmp_path / "elsewhere" / "new")
    of = start_search(*WORDS, STARTUP, at=tmp_path / "elsewhere" / "new")
    assert through == before + run_trials(of)
    assert [trial.value for trial in of.study.trials] == [learning_rate_loss(values)[0] for values in through]
    assert len(optuna.get_all_study_names(of.study._storage)) == 1


def test_the_sweep_folder_may_be_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_trials(start_search(*WORDS, at=tmp_path), 2)
    monkeypatch.chdir(tmp_path)
    of = start_search(*WORDS, at=Path())
    assert len(of.study.trials) == 2
    assert of.study.study_name == tmp_path.name


def test_a_truncated_last_line_is_removed_from_a_journal(tmp_path: Path) -> None:
    begun = run_trials(start_search(*WORDS, at=tmp_path), 2)
    with (tmp_path / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code":4,"worker_id":"x","study_id":0,"datet')
    open_storage.cache_clear()
    again = start_search(*WORDS, at=tmp_path)
    assert [trial.value for trial in again.study.trials] == [learning_rate_loss(values)[0] for values in begun]
    assert len(run_trials(again)) == 4
    open_storage.cache_clear()
    assert [trial.state.name for trial in start_search(*WORDS, at=tmp_path).study.trials] == ["COMPLETE"] * 6


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(b"\x00\x00{\n", "line 4 is damaged"), (b'{"op\n', "line 4 is damaged"), (b"{}\n", "do not go together")],
)
def test_the_message_about_a_damaged_journal_names_a_remedy_that_works(
    damage: bytes, reason: str, tmp_path: Path
) -> None:
    through = run_trials(start_search(*WORDS, STARTUP, at=tmp_path / "through"))
    at = tmp_path / "damaged"
    of = start_search(*WORDS, STARTUP, at=at)
    run_trials(of, 3)
    of.next()
    journal = at / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
    open_storage.cache_clear()
    with pytest.raises(UserError, match=rf"study\.journal: expected a study; .*{reason}.* Move it away") as caught:
        start_search(*WORDS, STARTUP, at=at)
    assert "\n" not in str(caught.value)
    journal.rename(tmp_path / "away")
    of = start_search(*WORDS, STARTUP, at=at)
    assert [trial.value for trial in of.study.trials] == [learning_rate_loss(values)[0] for values in through[:3]]
    assert run_trials(of) == through[3:]


@pytest.mark.slow
def test_a_database_file_holds_a_study_and_a_study_of_other_objectives_is_refused(tmp_path: Path) -> None:
    url = f"hydra.sweeper.storage='sqlite:///{tmp_path}/study.db'"
    through = run_trials(start_search(*WORDS, STARTUP, at=tmp_path / "through"))
    before = run_trials(start_search(*WORDS, STARTUP, url, "hydra.sweeper.study_name=mine", at=tmp_path / "sweep"), 3)
    open_storage.cache_clear()
    of = start_search(*WORDS, STARTUP, url, "hydra.sweeper.study_name=mine", at=tmp_path / "sweep")
    assert through == before + run_trials(of)
    assert not (tmp_path / "sweep" / "study.journal").exists()
    with pytest.raises(UserError, match="expected a study with the directions maximize; mine has minimize") as caught:
        start_search(*WORDS, url, "hydra.sweeper.study_name=mine", "sweep.objective=val/f1", at=tmp_path / "other")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_another_storage_needs_allow_changes_and_receives_the_finished_trials(tmp_path: Path) -> None:
    at, url = tmp_path / "sweep", f"hydra.sweeper.storage='sqlite:///{tmp_path}/study.db'"
    before = start_search(*WORDS, at=at)
    run_trials(before, 3)
    for change in (url, "hydra.sweeper.study_name=another", "hydra/sweeper/sampler=random", "hydra.sweeper.seed=1"):
        with pytest.raises(UserError, match=r"changed since: hydra\.sweeper\."):
            start_search(*WORDS, change, at=at)
    after = start_search(*WORDS, url, "sweep.allow_changes=true", at=at)
    assert [trial.values for trial in after.study.trials] == [trial.values for trial in before.study.trials]
    assert [trial.params for trial in after.study.trials] == [trial.params for trial in before.study.trials]
    assert [job.number for job in [after.next()] if job] == [3]


def test_the_lines_of_a_proposal_and_of_a_report_are_flushed_to_the_disk_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, journal, flushed = start_search(*WORDS, at=tmp_path), tmp_path / "study.journal", list[bytes]()

    def flush(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), journal.stat()):
            flushed.append(journal.read_bytes())

    monkeypatch.setattr(os, "fsync", flush)
    job = of.next()
    assert job is not None
    assert flushed == [journal.read_bytes()]
    finish_trial(of, job)
    assert flushed[1:] == [journal.read_bytes()]
    assert len(flushed[1].splitlines()) > len(flushed[0].splitlines()) > 3


def _open_by_optuna(folder: Path) -> JournalStorage:
    lock: Any = make_lock(folder / ".study.journal.lock")
    return JournalStorage(JournalFileBackend(str(folder / "study.journal"), lock_obj=lock))


def test_another_process_sees_a_line_before_it_is_flushed_to_the_disk(tmp_path: Path) -> None:
    of = start_search(*WORDS, at=tmp_path)
    other = _open_by_optuna(tmp_path)
    with flushed_once(of.study._storage):
        of.study.ask()
        assert len(other.get_all_trials(of.study._study_id)) == 1
        other.create_new_trial(of.study._study_id)
        assert len(of.study.trials) == 2


def test_trials_are_those_that_optunas_own_storage_reads_whatever_ended_since(tmp_path: Path) -> None:
    of, own = start_search(*WORDS, at=tmp_path), _open_by_optuna(tmp_path)
    storage, study = of.study._storage, of.study._study_id

    def compare() -> None:
        for states in (None, (TrialState.COMPLETE, TrialState.FAIL), (TrialState.RUNNING, TrialState.WAITING), ()):
            for deepcopy in (True, False):
                assert storage.get_all_trials(study, deepcopy, states) == own.get_all_trials(study, deepcopy, states)

    jobs = [job for job in (of.next(), of.next(), of.next()) if job]
    for job, result in zip(reversed(jobs), ([2.0], None, [1.0]), strict=True):
        compare()
        finish_trial(of, job, lambda values, result=result: result)  # type: ignore[misc]
        compare()
    of.next()
    compare()


def test_another_version_of_optuna_is_used_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "HAS_KNOWN_PARTS", False)
    assert type(open_storage(None, tmp_path)) is JournalStorage
