"""Pruners receive artificial metrics after each validation, as from a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.trial_file import read_trial, write_trial
from copycat.sweeps.search.proposals import Search
from copycat.sweeps.search.storage import open_storage
from copycat.sweeps.search.study import _load_study, make_pruner
from copycat.sweeps.trial_folder import write_first_record
from tests.support.search import finish_trial, start_search

RATE = "optimizer.lr=tag(log,interval(1e-4,1))"
EPOCHS = 9
PRUNERS = {
    "median": ("hydra.sweeper.pruner.n_startup_trials=3", "hydra.sweeper.pruner.n_warmup_steps=2"),
    "percentile": ("hydra.sweeper.pruner.n_startup_trials=3", "hydra.sweeper.pruner.n_warmup_steps=2"),
    "halving": (),
    "hyperband": (f"trainer.max_epochs={EPOCHS}",),
}


def run_pruned_trials(at: Path, levels: list[float], *words: str) -> list[tuple[int, str | None]]:
    """Return the number of epochs and the reason of the end of each trial, whose losses fall from these values."""
    of, found = start_search(*words, RATE, f"hydra.sweeper.n_trials={len(levels)}", at=at), []
    for level in levels:
        job = of.next()
        assert job is not None
        find_reason = make_pruner(of.sweeper, at / str(job.number), "val/loss")
        for epoch in range(EPOCHS):
            if verdict := find_reason(epoch, {"val/loss": level - 0.01 * epoch}):
                break
        found.append((epoch + 1, verdict))
        finish_trial(of, job, lambda _, level=level: [level])  # type: ignore[misc]
    return found


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_ends_trials_that_fall_behind_with_a_reason(pruner: str, tmp_path: Path) -> None:
    words = (f"hydra/sweeper/pruner={pruner}", *PRUNERS[pruner])
    found = run_pruned_trials(tmp_path / "sweep", [*(1.0 + 0.1 * n for n in range(8)), *[50.0] * 6, 0.1], *words)
    bad = [(epochs, why) for epochs, why in found[8:14] if why]
    assert bad
    for epochs, why in bad:
        assert epochs < EPOCHS
        assert why.startswith("val/loss ")
        assert f"after epoch {epochs - 1}: " in why
        assert why.endswith("Pruner ended it")
    assert found[-1] == (EPOCHS, None)  # the best of all is left alone


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_killed_trial_that_repeats_epochs_is_pruned_after_the_same_epoch(pruner: str, tmp_path: Path) -> None:
    words, at = (f"hydra/sweeper/pruner={pruner}", *PRUNERS[pruner]), tmp_path / "sweep"
    of, ended = start_search(*words, RATE, "hydra.sweeper.study_name=s", at=at), []
    for level in [*[0.1] * 8, *[1.0] * 6]:
        job = of.next()
        assert job is not None
        losses = [{"val/loss": 1.0 if epoch < 3 else level} for epoch in range(EPOCHS)]
        for attempt in range(2):  # the second after the verdict of the first, of which its run recorded nothing
            find_reason = make_pruner(of.sweeper, at / str(job.number), "val/loss")
            reasons = (find_reason(epoch, row) for epoch, row in enumerate(losses))
            ended.append(next(((job.number, why) for why in reasons if why), None))
            assert ended[-1] == ended[-1 - attempt]
        finish_trial(of, job, lambda _, level=level: [level])  # type: ignore[misc]
    assert any(ended)


def run_recorded_trial(of: Search, level: float, *, epochs: int = EPOCHS) -> str | None:
    """Record the first epochs of the next trial, and its end unless epochs are left; return why it was pruned."""
    job = of.next()
    assert job is not None
    folder, reason = of.folder / str(job.number), None
    write_first_record(folder, job.number, job.run_overrides, job.values)
    find_reason, rows = make_pruner(of.sweeper, folder, "val/loss"), ["epoch,val/loss"]
    for epoch in range(epochs):
        rows.append(f"{epoch},{level - 0.01 * epoch}")
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        if epoch < EPOCHS - 1 and (reason := find_reason(epoch, {"val/loss": level - 0.01 * epoch})):
            break
    if reason or epochs == EPOCHS:
        status = "pruned" if reason else "completed"
        write_trial(folder, replace(read_trial(folder), status=status, objectives={"val/loss": level}))
        of.mark_done(job, read_trial(folder))
    return reason


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_a_pruner_of_rungs_decides_the_same_once_its_study_was_lost(pruner: str, tmp_path: Path) -> None:
    words = (f"hydra/sweeper/pruner={pruner}", *PRUNERS[pruner], "hydra.sweeper.study_name=s", RATE)
    levels = [0.9, 0.4, 0.5, 0.6, 0.3, 0.7, 0.35, 0.32, 0.2, 0.45]
    of = start_search(*words, at=tmp_path / "through")
    through = [run_recorded_trial(of, level) for level in levels]
    of = start_search(*words, at=tmp_path / "stopped")
    stopped = [run_recorded_trial(of, level) for level in levels[:4]]
    assert run_recorded_trial(of, levels[4], epochs=3) is None  # and then the process is killed
    (tmp_path / "stopped" / "study.journal").unlink()
    open_storage.cache_clear()
    _load_study.cache_clear()
    of = start_search(*words, at=tmp_path / "stopped")
    assert [*stopped, *(run_recorded_trial(of, level) for level in levels[4:])] == through
    assert any(through[5:])


def test_without_a_pruner_all_trials_run_to_their_end(tmp_path: Path) -> None:
    assert run_pruned_trials(tmp_path / "sweep", [1.0, 2.0, 50.0]) == [(EPOCHS, None)] * 3


def test_a_pruner_needs_an_objective_that_each_epoch_has(tmp_path: Path) -> None:
    of = start_search("hydra/sweeper/pruner=median", RATE, at=tmp_path / "sweep")
    job = of.next()
    assert job is not None
    with pytest.raises(UserError, match="expected an objective that each epoch has; seconds is none"):
        make_pruner(of.sweeper, tmp_path / "sweep" / str(job.number), "seconds")(0, {"val/loss": 1.0})
