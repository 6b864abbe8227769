"""A trial that is composed from a copy is the one that Hydra composes from the files."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.sweep_composition import compose_sweep
from copycat.config.trial_composition import compose_trial
from tests.support.parameters import mark_slow

TRIALS = [
    ["seed=1"],
    ["seed=2", "optimizer=adam", "optimizer.lr=0.1"],
    ["seed=2", "optimizer.lr=1e-3", "optimizer=adam", "optimizer.betas=[0.8,0.9]"],
    ["model=deep", "model.hidden=[7,5]", "activation=relu", "data.fold=1"],
    ["model=deep", "model.hidden=[7]", "+optimizer.maximize=true"],
    ["optimizer=adam", "+callbacks.mine={_target_: mine.Callback, every: 3}"],
    ["~optimizer.momentum", "+optimizer.momentum=0.5"],
    ["trainer.check_val_every_n_epoch=3"],  # which the callbacks refer to
    ["scheduler=cosine", "trainer.max_epochs=7", "optimizer.lr=0.2"],
    ["activation=tanh", "model=shallow", "model.hidden=[3]", "trainer.threads=null", "seed=3", "seed=4"],
    ["data=folder", "data.root=pets", "data.image_size=16", "output_dir=elsewhere", "logger=mlflow"],
    ["+callbacks.mine={_target_: mine.Callback, every: 3}", "callbacks.mine.every=4"],
    ["optimizer.lr=${trainer.max_epochs}", "trainer.max_epochs=3"],
    ["data.split_seed=${seed}", "seed=5"],
    ["scheduler=cosine", "scheduler.eta_min=${optimizer.lr}", "optimizer.lr=0.3"],
    ["experiment=lecture", "seed=5"],
    ["callbacks=[default,early_stopping]", "logger=none"],
]


def compose_trial_config(words: Sequence[str]) -> dict[str, object]:
    folder, asked = compose_trial([*words, "hydra.sweep.dir='a b'", "hydra.sweep.subdir='3'"])
    assert folder == Path("a b", "3")
    return dict(asked().config)


@pytest.mark.parametrize("words", mark_slow(TRIALS, fast=TRIALS[-6:]), ids=" ".join)
def test_a_copy_has_the_same_configuration_whatever_was_composed_before(words: list[str]) -> None:
    alone = compose(words).config
    assert compose_trial_config(words) == alone
    assert compose_trial_config([word for word in words if not word.startswith("seed")] + ["seed=77"])["seed"] == 77
    assert compose_trial_config(words) == alone


def test_what_ends_trials_early_goes_by_the_values_that_were_typed() -> None:
    words = ["hydra/sweeper=optuna", "hydra/sweeper/pruner=hyperband", "trainer.max_epochs=50"]
    _, asked = compose_trial([*words, "hydra.sweep.dir=a", "hydra.sweep.subdir=b"])
    assert asked().sweeper["pruner"]["max_resource"] == 50
    assert compose_sweep([*words, "seed=int(interval(1,9))"]).sweeper["pruner"]["max_resource"] == 50


def test_a_trial_is_filed_under_its_experiment() -> None:
    asked = [compose_trial([*words, "hydra.sweep.dir=a", "hydra.sweep.subdir=b"])[1]() for words in (TRIALS[-2], [])]
    assert [one.experiment for one in asked] == ["lecture", "sweep"]


def test_what_a_trial_gets_wrong_is_named_as_in_a_run_alone() -> None:
    with pytest.raises(UserError) as alone:
        compose(["seed=1", "optimizer.mometum=0.5"])
    with pytest.raises(UserError) as copied:
        compose_trial_config(["seed=1", "optimizer.mometum=0.5"])
    assert str(copied.value) == str(alone.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=range(1000)", "optimizer.lr=0.1,banana"], "optimizer.lr: expected a number > 0; got 'banana'"),
        (["optimizer=sgd,adam,adamw,adma"], "got 'adma'. Did you mean optimizer=adam"),
        (["optimizer=adam,sgd", "optimizer.lr=0.1,banana"], "optimizer.lr: expected a number > 0; got 'banana'"),
        (["seed=1,2", "model.hidden=[20],[0]"], r"model.hidden: expected a list of widths ≥ 1.* got \[0\]"),
    ],
)
def test_a_mistake_among_many_trials_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose_sweep(words)
