"""The sampler of a search proposes what Optuna's TPE proposes, to the last bit, at a cost that does not grow."""

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from copycat.sweeps.search.finished_trials import FinishedTrials
from copycat.sweeps.search.tpe import SharedTPESampler
from tests.support.search import finish_trial, start_search

SETTINGS: dict[str, dict[str, Any]] = {
    "the default": {},
    "no running trials": {"constant_liar": False},
    "no groups": {"group": False},
    "parameters alone": {"multivariate": False, "group": False},
    "constraints": {"constraints_func": lambda trial: trial.user_attrs["violations"]},
}
Direction = Literal["minimize", "maximize"]
TRIALS = 60
AT_ONCE = 3
"""Trials that run at the same time, and end in another order."""


def draw(trial: optuna.Trial) -> None:
    """Draw from floats and integers, linear, logarithmic and in steps, and from words; some by a condition."""
    trial.suggest_float("rate", 1e-5, 1, log=True)
    trial.suggest_float("share", -1, 1)
    trial.suggest_float("step", 0, 1, step=0.25)
    trial.suggest_int("size", 1, 256, log=True)
    if trial.suggest_categorical("model", ["small", "large", "3"]) != "small":
        trial.suggest_int("depth", 2, 20, step=3)
    if trial.number % 3:
        trial.suggest_categorical("word", ["x", "y"])


def finish(study: optuna.Study, trial: optuna.Trial, chance: random.Random) -> None:
    """End a trial: completed, with some equal values, or pruned, or failed, or with a broken constraint."""
    params = trial.params
    loss = round(abs(params["share"]) + params["size"] / 256, 1)
    trial.set_user_attr("violations", [chance.choice([-1.0, -1.0, 0.5, loss])])
    kind = chance.random()
    if kind < 0.1:
        study.tell(trial, state=TrialState.FAIL)
    elif kind < 0.35 and len(study.directions) == 1:
        for epoch in range(chance.randrange(3)):
            trial.report(loss / (epoch + 1), epoch)
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [loss, -loss][: len(study.directions)])


def propose(make: Callable[[int], TPESampler], directions: list[Direction]) -> list[FrozenTrial]:
    """Run a study whose trials each have a sampler of their own, several at a time."""
    study, chance = optuna.create_study(directions=directions), random.Random(0)
    running: list[optuna.Trial] = []
    for number in range(TRIALS):
        study.sampler = make(number)
        trial = study.ask()
        draw(trial)
        running.append(trial)
        if len(running) == AT_ONCE:
            finish(study, running.pop(chance.randrange(AT_ONCE)), chance)
    return study.trials


MINIMIZE: list[Direction] = ["minimize"]
MAXIMIZE: list[Direction] = ["maximize"]
CASES = [
    *[(name, MINIMIZE) for name in SETTINGS],
    *[(name, MAXIMIZE) for name in ("the default", "constraints")],
    *[(name, [*MINIMIZE, *MAXIMIZE]) for name in ("parameters alone", "constraints")],
]


@pytest.mark.parametrize(("name", "directions"), CASES, ids=lambda value: value if isinstance(value, str) else None)
@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::optuna.exceptions.ExperimentalWarning")
def test_the_proposals_are_those_of_optunas_own_sampler(name: str, directions: list[Direction]) -> None:
    settings = {"n_startup_trials": 5, "multivariate": True, "group": True, **SETTINGS[name]}
    first = SharedTPESampler(finished=FinishedTrials(), seed=0, **settings)
    shared = propose(first.seeded, directions)
    own = propose(lambda seed: TPESampler(seed=seed, **settings), directions)
    assert [trial.params for trial in shared] == [trial.params for trial in own]
    assert [trial.system_attrs for trial in shared] == [trial.system_attrs for trial in own]
    assert {trial.state.name for trial in own} >= {"COMPLETE", "FAIL", "RUNNING"}


def test_a_trial_that_a_database_shows_before_an_earlier_one_is_left_to_optuna() -> None:
    study, finished = optuna.create_study(), FinishedTrials()
    for value in (1.0, 2.0, 3.0):
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), value)
    first, _, last = study.trials
    assert not finished.update(study, [first, last])
    assert finished.update(study, study.trials)
    assert finished.ranked().tolist() == [0, 1, 2]


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Count the calls of Python functions: a measure of time that no load of the machine changes."""
    count = [0]

    def count_call(frame: object, event: str, argument: object) -> None:
        count[0] += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        yield count
    finally:
        sys.setprofile(before)


def loss(values: Mapping[str, Any]) -> list[float]:
    """Return a loss with a minimum inside the space."""
    return [abs(values["optimizer.lr"] - 0.3) + values["optimizer.momentum"]]


def test_a_proposal_costs_no_more_after_many_trials(tmp_path: Path) -> None:
    axes = ("optimizer.lr=interval(0.1,1)", "optimizer.momentum=interval(0,0.9)")
    search, calls = start_search(*axes, "hydra.sweeper.n_trials=180", at=tmp_path), list[int]()
    while True:
        with counted_calls() as count:
            job = search.next()
            if job is None:
                break
            finish_trial(search, job, loss)
        calls.append(count[0])
    early, late = sorted(calls[40:80])[20], sorted(calls[-40:])[20]
    assert late < 1.1 * early
