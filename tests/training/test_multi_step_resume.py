"""A run that ends among steps taken at once goes on to the bits of one that nobody killed."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from copycat.models.classifier import Classifier
from copycat.records.run_loader import open_run
from copycat.training.resume import resume
from tests.support.callbacks import KillCallback, SimulatedKill
from tests.support.killed_runs import JOBS, assert_same_folders, kill_run, train_killable
from tests.support.parameters import mark_slow
from tests.support.run_folders import find_newest_run

pytestmark = pytest.mark.usefixtures("all_checkpoints")


def count_steps(monkeypatch: pytest.MonkeyPatch, *, at: int, then: Callable[[], object]) -> None:
    """Do something as soon as Adam has taken so many steps, without a hook that a callback would have for each."""
    step, taken = torch.optim.Adam.step, count(1)

    @wraps(step)
    def counting(*args: Any, **more: Any) -> Any:
        found = step(*args, **more)
        if next(taken) == at:
            then()
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", counting)


def die() -> None:
    raise SimulatedKill


ENDS = (die, partial(os.kill, os.getpid(), signal.SIGINT))
STEPS = (2, 4, 5, 10)
JOBS_IN_ONE_LOOP = ("cosine", "accumulation", "moving_average", "cnn")
CUTS = [  # each job at three steps, each step in three jobs, and both ends of each
    (job, steps, ENDS[(row + column) % 2])
    for row, job in enumerate(JOBS_IN_ONE_LOOP)
    for column, steps in enumerate(STEPS)
    if row != column
]


@pytest.mark.parametrize(("job", "steps", "ends"), mark_slow(CUTS, fast=[CUTS[1], CUTS[2]], unpack=True))
def test_a_run_that_ends_among_steps_taken_at_once_goes_on_to_the_same_bits(
    job: str, steps: int, ends: Callable[[], object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no callback has a step hook; and what is left to the Trainer, which its own counters tell, does not go by time
    more = ["callbacks.dies=null", "trainer.max_epochs=6", "trainer.steps_per_execution=1000"]
    words = ["optimizer=adam", *JOBS[job], *more]
    by_trainer: list[int] = []
    training_step = Classifier.training_step

    def seen(classifier: Classifier, batch: Any, batch_idx: int) -> Any:
        by_trainer.append(batch_idx)
        return training_step(classifier, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", seen)
    reference = train_killable(tiny, tmp_path / "whole", *words).folder
    assert len(by_trainer) < 6 * 4 / 2  # the others were taken at once
    with monkeypatch.context() as patch, suppress(SimulatedKill):
        count_steps(patch, at=steps, then=ends)
        assert train_killable(tiny, tmp_path / "cut", *words).status == "interrupted"
    folder = find_newest_run(tmp_path / "cut")
    said: list[str] = []
    assert resume(open_run(folder), notify=said.append).status == "completed"
    assert said[-1].startswith("resuming from epoch " if steps > 2 or ends is not die else "no checkpoint")
    assert_same_folders(folder, reference)


class KillBetweenSteps(KillCallback):
    """Kill a run without a hook that makes it take single steps."""

    def supports_multi_step(self) -> bool:
        return True

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self._kill_if_due("batch", trainer)


class KillWhileObserving(KillBetweenSteps):
    """Kill a run whose callbacks only observe the ends of epochs."""

    observes = ()


def test_a_run_killed_again_at_the_start_of_the_epoch_that_it_resumed_inside_goes_on_to_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["optimizer=adam", f"callbacks.dies._target_={__name__}.{KillWhileObserving.__name__}"]
    words += ["callbacks.last.every_seconds=1e-9", "trainer.max_epochs=6"]  # a checkpoint is due as it resumes
    reference = train_killable(tiny, tmp_path / "whole", *words).folder
    folder = kill_run(tiny, tmp_path / "cut", *words, after=("batch", 6))
    with monkeypatch.context() as patched:
        patched.setattr(KillCallback, "after", ("epoch", 6))
        with pytest.raises(SimulatedKill):
            resume(open_run(folder), notify=lambda line: None)
    said: list[str] = []
    resume(open_run(folder), notify=said.append)
    assert said == ["resuming from epoch 1, batch 2, by last.ckpt"]
    assert_same_folders(folder, reference)


RESUMES = [  # every pair of a place, a job and a kind of loop
    (after, job, ("none", "killed", "resumed")[(row + column) % 3])
    for row, after in enumerate([("batch", 2), ("batch", 7), ("epoch", 4)])
    for column, job in enumerate(("cnn", "accumulation", "moving_average"))
]


@pytest.mark.parametrize(("after", "job", "single"), mark_slow(RESUMES, fast=[RESUMES[0], RESUMES[3]], unpack=True))
def test_a_run_is_resumed_inside_the_multi_step_loop_to_the_same_bits(
    after: tuple[str, int], job: str, single: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["optimizer=adam", *JOBS[job], f"callbacks.dies._target_={__name__}.{KillBetweenSteps.__name__}"]
    words.append("callbacks.last.every_n_steps=1")
    reference = train_killable(tiny, tmp_path, *words).folder
    hook, batches = after
    with monkeypatch.context() as patched:
        if single == "killed":
            patched.setattr("copycat.training.session.install", lambda *_, **more: None)
        folder = kill_run(tiny, tmp_path, *words, after=(hook, batches // 2 if job == "accumulation" else batches))
    if single == "resumed":
        monkeypatch.setattr("copycat.training.session.install", lambda *_, **more: None)
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"
    # Lightning's own loop counts calls of zero_grad and of schedulers too
    assert_same_folders(folder, reference, but=None if single == "none" else "loops")
