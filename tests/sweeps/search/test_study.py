"""Sweeps are resumed after their folder or journal was moved or damaged."""

import json
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.trial_file import Trial, write_trial
from copycat.sweeps.sweeper import Grid
from copycat.training.manifest import now
from tests.support.search import compose_search, learning_rate_loss, run_trials, start_search

WORDS = (
    *("optimizer.lr=tag(log,interval(1e-4,1))", "model=logistic,shallow", "hydra.sweeper.n_trials=7"),
    "hydra.sweeper.sampler.n_startup_trials=3",
)


def test_a_search_is_resumed_after_its_folder_was_renamed(tmp_path: Path) -> None:
    through = run_trials(start_search(*WORDS, at=tmp_path / "through"))
    begun = run_trials(start_search(*WORDS, at=tmp_path / "begun"), 4)
    (tmp_path / "begun").rename(tmp_path / "renamed")
    again = start_search(*WORDS, at=tmp_path / "renamed")
    assert [*begun, *run_trials(again)] == through
    assert [trial.value for trial in again.study.trials] == [learning_rate_loss(values)[0] for values in through]


def test_a_damaged_journal_is_reported_and_restored_from_the_trials_once_removed(tmp_path: Path) -> None:
    through = run_trials(start_search(*WORDS, at=tmp_path / "through"))
    begun = run_trials(start_search(*WORDS, at=tmp_path / "begun"), 4)
    (tmp_path / "begun").rename(tmp_path / "damaged")
    journal = tmp_path / "damaged" / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], b"{" + lines[4][9:], *lines[5:]]))
    with pytest.raises(UserError, match=r"study\.journal: expected a study; line 5 is damaged\. Move it away"):
        start_search(*WORDS, at=tmp_path / "damaged")
    journal.unlink()
    again = start_search(*WORDS, at=tmp_path / "damaged")
    assert [trial.value for trial in again.study.trials] == [learning_rate_loss(values)[0] for values in begun]
    assert [*begun, *run_trials(again)] == through


def test_a_journal_with_a_truncated_last_line_is_read_without_it(tmp_path: Path) -> None:
    begun = run_trials(start_search(*WORDS, at=tmp_path / "begun"), 4)
    (tmp_path / "begun").rename(tmp_path / "cut")
    with (tmp_path / "cut" / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code": 5, "wor')
    again = start_search(*WORDS, at=tmp_path / "cut")
    assert [trial.value for trial in again.study.trials] == [learning_rate_loss(values)[0] for values in begun]
    assert len(run_trials(again)) == 3


def test_a_grid_that_is_typed_in_another_order_runs_each_value_once(tmp_path: Path) -> None:
    def grid(words: str) -> Grid:
        return Grid(compose_search("hydra/sweeper=grid", words).space, tmp_path)

    first = grid("seed=0,1,2,3")
    for _ in range(2):
        job = first.next()
        assert job is not None
        done = Trial(
            number=job.number, overrides=job.run_overrides, values=job.values, status="completed", started=now()
        )
        write_trial(tmp_path / str(job.number), done)
    then = grid("seed=3,2,1,0,4")
    left = []
    while job := then.next():
        left.append((job.number, job.values["seed"]))
    assert sorted(seed for _, seed in left) == [2, 3, 4]
    assert not {0, 1} & {number for number, _ in left}
    assert len({number for number, _ in left}) == 3


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
