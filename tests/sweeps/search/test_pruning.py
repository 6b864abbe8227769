"""Pruners, fed as a run feeds them after each validation; the curves are made up."""

from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.sweeps.search.study import make_pruner
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
    """For trials whose loss falls from so high: the epochs that each had, and why it was ended."""
    of, found = start_search(*words, RATE, f"hydra.sweeper.n_trials={len(levels)}", at=at), []
    for level in levels:
        job = of.next()
        assert job is not None
        says = make_pruner(of.sweeper, at / str(job.number), "val/loss")
        for epoch in range(EPOCHS):
            if verdict := says(epoch, {"val/loss": level - 0.01 * epoch}):
                break
        found.append((epoch + 1, verdict))
        finish_trial(of, job, lambda _, level=level: [level])  # type: ignore[misc]
    return found


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_ends_what_falls_behind_and_says_why(pruner: str, tmp_path: Path) -> None:
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


def test_without_a_pruner_all_run_to_their_end(tmp_path: Path) -> None:
    assert run_pruned_trials(tmp_path / "sweep", [1.0, 2.0, 50.0]) == [(EPOCHS, None)] * 3


def test_an_objective_that_no_epoch_has_cannot_be_pruned_by(tmp_path: Path) -> None:
    of = start_search("hydra/sweeper/pruner=median", RATE, at=tmp_path / "sweep")
    job = of.next()
    assert job is not None
    with pytest.raises(UserError, match="expected an objective that each epoch has; seconds is none"):
        make_pruner(of.sweeper, tmp_path / "sweep" / str(job.number), "seconds")(0, {"val/loss": 1.0})
