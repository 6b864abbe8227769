"""Proposals of samplers and reports to a study; a function of the values stands in for training."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from copycat.config.errors import UserError
from copycat.sweeps.search.storage import open_storage
from tests.support.parameters import mark_slow
from tests.support.search import finish_trial, learning_rate_loss, run_trials, start_search

RATE = "optimizer.lr=tag(log,interval(1e-4,1))"
SAMPLERS = {
    "random": (),
    "tpe": ("hydra.sweeper.sampler.n_startup_trials=3",),
    "cmaes": (),
    "gp": ("hydra.sweeper.sampler.n_startup_trials=5",),
    "qmc": (),
}


@pytest.mark.parametrize("sampler", mark_slow(SAMPLERS, fast=["tpe", "random"]))
def test_a_resumed_search_proposes_the_same_values_as_an_uninterrupted_one(sampler: str, tmp_path: Path) -> None:
    axes = (RATE, "optimizer.momentum=interval(0,0.9)", "model=logistic,shallow")
    words = (f"hydra/sweeper/sampler={sampler}", *SAMPLERS[sampler], *axes, "hydra.sweeper.n_trials=7")
    through = run_trials(start_search(*words, at=tmp_path / "through"))
    stopped = run_trials(start_search(*words, at=tmp_path / "stopped"), 3)
    again = start_search(*words, at=tmp_path / "stopped")
    job = again.next()  # asked, and then the process is killed
    assert job is not None
    assert through == [*stopped, *run_trials(start_search(*words, at=tmp_path / "stopped"))]
    assert len(through) == 7
    assert len({values["optimizer.lr"] for values in through}) == 7
    assert len({values["model"] for values in through}) == 2  # words vary as well
    assert all(1e-4 <= values["optimizer.lr"] <= 1 and 0 <= values["optimizer.momentum"] <= 0.9 for values in through)


def test_another_seed_proposes_other_values(tmp_path: Path) -> None:
    words = (RATE, "hydra.sweeper.n_trials=3")
    found = [
        [values["optimizer.lr"] for values in run_trials(start_search(*words, more, at=tmp_path / str(number)))]
        for number, more in enumerate(("hydra.sweeper.seed=0", "hydra.sweeper.seed=1", "hydra.sweeper.sampler.seed=5"))
    ]
    assert len({value for values in found for value in values}) == 9


def test_a_trial_whose_drawing_was_interrupted_receives_the_same_values(tmp_path: Path) -> None:
    words = ("hydra/sweeper/sampler=random", RATE, "optimizer.momentum=interval(0,0.9)", "hydra.sweeper.n_trials=1")
    whole = start_search(*words, at=tmp_path / "whole").next()
    cut = start_search(*words, at=tmp_path / "cut")
    trial = cut.study.ask()
    cut.study.sampler = cut._sampler(0, "optimizer.lr")
    trial._suggest("optimizer.lr", FloatDistribution(1e-4, 1, log=True))
    again = start_search(*words, at=tmp_path / "cut").next()
    assert whole is not None
    assert again is not None
    assert again.values == whole.values


@pytest.mark.parametrize("is_lost", [False, True], ids=["", "without its study"])
def test_a_quasi_random_sequence_skips_no_point_when_a_search_is_killed(is_lost: bool, tmp_path: Path) -> None:
    words = ("hydra/sweeper/sampler=qmc", RATE, "optimizer.momentum=interval(0,0.9)", "hydra.sweeper.n_trials=4")
    through = run_trials(start_search(*words, at=tmp_path / "through"))
    stopped = start_search(*words, at=tmp_path / "stopped")
    found = run_trials(stopped, 2)
    stopped.study.sampler = stopped._sampler(2)
    assert stopped.study.ask().relative_params  # drawn, and then the process is killed
    if is_lost:
        (tmp_path / "stopped" / "study.journal").unlink()
        open_storage.cache_clear()
    assert [*found, *run_trials(start_search(*words, at=tmp_path / "stopped"))] == through


def test_a_search_improves_on_its_first_trials(tmp_path: Path) -> None:
    words = (RATE, "hydra.sweeper.n_trials=24", "hydra.sweeper.sampler.n_startup_trials=8")
    losses = [learning_rate_loss(values)[0] for values in run_trials(start_search(*words, at=tmp_path))]
    assert median(losses[-8:]) < median(losses[:8])


def test_a_grid_sampler_tries_each_combination_once_and_stops(tmp_path: Path) -> None:
    axes = ("model=logistic,shallow", "seed=range(0,6,2)", "optimizer.lr=1e-3,1e-2")
    more = ("+sweep.when.seed='model=shallow'", "hydra.sweeper.n_trials=50")
    words = ("hydra/sweeper/sampler=grid", *axes, *more)
    first = start_search(*words, at=tmp_path)
    assert first.sweeper["n_trials"] == 50
    found = run_trials(first, 4, lambda values: None if values["model"] == "logistic" else [1.0])
    found += run_trials(start_search(*words, at=tmp_path), result=lambda values: [1.0])
    assert len(found) == 2 + 3 * 2  # logistic has no seed
    assert len({tuple(sorted(values.items())) for values in found}) == len(found)
    assert run_trials(start_search(*words, at=tmp_path)) == []


def test_a_grid_of_two_is_not_repeated_by_a_third_worker(tmp_path: Path) -> None:
    of = start_search("hydra/sweeper/sampler=grid", "seed=1,2", at=tmp_path)
    jobs = [of.next(), of.next(), of.next()]
    assert sorted(job.values["seed"] for job in jobs if job) == [1, 2]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("optimizer.lr=interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("optimizer.lr=tag(log,interval(0.1,1))", FloatDistribution(0.1, 1.0, log=True)),
        ("seed=int(interval(1,9))", IntDistribution(1, 9)),
        ("seed=tag(log,int(interval(1,9)))", IntDistribution(1, 9, log=True)),
        ("seed=range(5)", IntDistribution(0, 4)),
        ("seed=range(9,0,-3)", IntDistribution(3, 9, step=3)),
        ("seed=tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("optimizer.lr=range(0.25,1,0.25)", CategoricalDistribution(["0.25", "0.5", "0.75"])),
        ("seed=shuffle(3,1,2)", CategoricalDistribution(["1", "2", "3"])),
        ("seed=1,2,1", CategoricalDistribution(["1", "2"])),
        ("model=glob(*,exclude=[b*,l*,c*,t*])", CategoricalDistribution(["deep", "shallow"])),
        ("model.hidden=[2,3],[4]", CategoricalDistribution(["[2,3]", "[4]"])),
        ("+optimizer.maximize=true,false", CategoricalDistribution(["True", "False"])),
    ],
)
def test_an_axis_is_drawn_from_its_distribution(word: str, expected: object, tmp_path: Path) -> None:
    of = start_search(word, "hydra.sweeper.n_trials=2", at=tmp_path)
    (parameter,) = of._parameters.values()
    assert parameter.distribution == expected
    job = of.next()
    assert job is not None
    assert job.overrides[-1].startswith(f"{word.partition('=')[0]}=")


@pytest.mark.parametrize("sampler", mark_slow(["tpe", "cmaes", "qmc"], fast=["tpe"]))
def test_a_conditional_axis_is_drawn_only_if_its_condition_holds(sampler: str, tmp_path: Path) -> None:
    axes = ("model=logistic,shallow", "activation=relu,tanh,sigmoid", "optimizer.lr=interval(1e-3,1)")
    words = (f"hydra/sweeper/sampler={sampler}", *axes, "+sweep.when.activation='model=shallow'")
    found = run_trials(start_search(*words, "hydra.sweeper.n_trials=12", at=tmp_path))
    assert all(("activation" in values) == (values["model"] == "shallow") for values in found)
    assert len(Counter(values["activation"] for values in found if "activation" in values)) > 1


def test_zipped_axes_are_drawn_together(tmp_path: Path) -> None:
    axes = ("model=logistic,shallow,deep", "optimizer.lr=0.1,0.2,0.3", "seed=range(3)")
    found = run_trials(start_search(*axes, "sweep.zip=[model,optimizer.lr]", "hydra.sweeper.n_trials=9", at=tmp_path))
    pairs = {(values["model"], values["optimizer.lr"]) for values in found}
    assert pairs <= {("logistic", 0.1), ("shallow", 0.2), ("deep", 0.3)}
    assert len(pairs) > 1
    assert len({values["seed"] for values in found}) > 1


def test_a_study_of_several_objectives_receives_all_of_them(tmp_path: Path) -> None:
    words = ("sweep.objective=[val/loss,val/accuracy,parameters]", RATE, "hydra.sweeper.n_trials=4")
    of = start_search(*words, at=tmp_path)
    run_trials(of, result=lambda values: [values["optimizer.lr"], 0.5, 7.0])
    assert [direction.name for direction in of.study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert [trial.values for trial in of.study.trials] == [
        [float(trial.params["optimizer.lr"]), 0.5, 7.0] for trial in of.study.trials
    ]
    assert len(of.study.best_trials) == 1


def test_a_failed_trial_is_reported_as_failed_and_counts(tmp_path: Path) -> None:
    of = start_search(RATE, "hydra.sweeper.n_trials=3", at=tmp_path)
    run_trials(of, result=lambda values: None)
    assert [trial.state.name for trial in of.study.trials] == ["FAIL"] * 3
    assert of.study.trials[0].user_attrs["error"] == "it was made to"


def _fails_at_1(values: Mapping[str, Any]) -> list[float] | None:
    return None if values["seed"] == 1 else [float(values["seed"])]


@pytest.mark.slow
def test_a_search_continues_in_a_space_that_was_changed_on_purpose(tmp_path: Path) -> None:
    before = ("model=logistic,shallow", "seed=range(3)", "hydra.sweeper.n_trials=3")
    run_trials(start_search(*before, at=tmp_path), result=_fails_at_1)
    after = ("model=shallow,deep,cnn", "seed=range(4)", "hydra.sweeper.n_trials=12")
    with pytest.raises(UserError, match="changed since: model, seed"):
        start_search(*after, at=tmp_path)
    found = run_trials(start_search(*after, "sweep.allow_changes=true", at=tmp_path), result=_fails_at_1)
    assert len(found) == 9
    assert {values["model"] for values in found} == {"shallow", "deep", "cnn"}
    assert max(values["seed"] for values in found) > 2


def test_running_trials_may_end_in_any_order(tmp_path: Path) -> None:
    of = start_search(RATE, "hydra.sweeper.n_trials=4", at=tmp_path)
    jobs = [job for job in (of.next(), of.next(), of.next(), of.next()) if job]
    for job in reversed(jobs):
        finish_trial(of, job)
    told = {trial.number: trial.value for trial in of.study.trials}
    assert told == {job.number: learning_rate_loss(job.values)[0] for job in jobs}
