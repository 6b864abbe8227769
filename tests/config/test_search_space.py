"""What words of a sweep span."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.config.places import CONF
from copycat.config.sweep_composition import compose_sweep
from tests.support.parameters import mark_slow

PRESETS = {
    "learning_rate": 5,
    "architecture": 4,
    "optimizers": 15,
    "imbalance": 5,
    "lecture_architectures": 18,
    "lecture_augmentation": 20,
}


def list_grid_trials(*words: str) -> list[dict[str, str]]:
    """Each trial's values, by key, without quotes."""
    asked = compose_sweep(words)
    trials = [dict(word.split("=", 1) for word in trial) for trial in asked.space.grid()]
    return [{key: value.strip("'\"") for key, value in trial.items()} for trial in trials]


VALUES = st.sampled_from(
    [
        ("seed", "1,2,3"),
        ("seed", "range(3)"),
        ("seed", "range(8,2,-3)"),
        ("optimizer.lr", "1e-4,1e-3"),
        ("optimizer.lr", "choice(0.1,0.2)"),
        ("optimizer.lr", "range(0.1,0.5,0.1)"),
        ("optimizer.lr", "sort(3,1,2)"),
        ("optimizer", "sgd,adam"),
        ("model", "glob(l*,exclude=lecture*)"),
        ("print_losses", "[1,2],[3],null"),
        ("trainer.max_epochs", "7"),
    ]
)


@pytest.mark.slow
@settings(max_examples=4)  # each composes all of its trials
@given(st.lists(VALUES, min_size=1, max_size=3, unique_by=lambda pair: pair[0]))
def test_a_grid_is_what_hydra_s_own_sweeper_makes_of_the_words(pairs: Sequence[tuple[str, str]]) -> None:
    words = [f"{key}={value}" for key, value in pairs]
    asked = compose_sweep(words)
    parsed = OverridesParser.create(config_loader=asked.space.loader).parse_overrides(words)
    ((theirs),) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    fixed = set(asked.space.fixed)
    assert [list(trial) for trial in asked.space.grid()] == [
        [word for word in trial if word not in fixed] for trial in theirs
    ]


def test_paired_axes_go_together_and_the_others_with_each() -> None:
    found = list_grid_trials(
        "optimizer=sgd,adam", "optimizer.lr=1e-2,1e-4", "seed=1,2", "sweep.zip=[optimizer,optimizer.lr]"
    )
    pairs = [("sgd", 0.01), ("adam", 0.0001)]
    assert {(t["optimizer"], float(t["optimizer.lr"]), t["seed"]) for t in found} == {
        (*pair, seed) for pair, seed in product(pairs, "12")
    }
    assert len(found) == 4


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        (["optimizer.lr=0.1,0.2,1e-1", "seed=1,2"], ["optimizer.lr=0.1"]),
        (["optimizer=adam,adam", "seed=1,1"], ["optimizer=adam", "seed=1"]),
        (["seed=1,2,1", "optimizer.lr=1,1,2", "sweep.zip=[seed,optimizer.lr]"], []),
        (["seed=1,2,1", "optimizer.lr=1,2,1", "sweep.zip=[seed,optimizer.lr]"], ["seed=1 optimizer.lr=1"]),
        (["seed=1,1", "hydra/sweeper=optuna"], []),  # a search tries each value once
    ],
)
def test_a_value_that_an_axis_of_a_grid_has_twice_is_found(words: list[str], repeated: list[str]) -> None:
    assert compose_sweep(words).repeated == repeated


def test_an_axis_under_a_condition_is_there_beside_those_values_alone() -> None:
    found = list_grid_trials("model=logistic,shallow", "activation=relu,tanh", "+sweep.when.activation='model=shallow'")
    assert found == [
        {"model": "logistic"},
        {"model": "shallow", "activation": "relu"},
        {"model": "shallow", "activation": "tanh"},
    ]


@pytest.mark.parametrize("preset", mark_slow(PRESETS, fast=["learning_rate"]))
def test_a_preset_spans_what_it_says_and_each_trial_of_it_is_checked(preset: str) -> None:
    assert len(list_grid_trials(f"sweep={preset}")) == PRESETS[preset]


@pytest.mark.slow
def test_the_preset_for_a_search_is_one() -> None:
    asked = compose_sweep(["sweep=lecture_hyperparameters", "hydra/sweeper=optuna"])
    assert list(asked.space.axes) == ["optimizer", "optimizer.lr", "model", "activation"]
    with pytest.raises(UserError, match="For a search, type hydra/sweeper=optuna"):
        compose_sweep(["sweep=lecture_hyperparameters"])


def test_there_is_no_preset_without_a_test() -> None:
    names = {file.stem for file in (CONF / "sweep").glob("*.yaml")}
    assert names == {*PRESETS, "lecture_hyperparameters", "default"}


def test_what_is_typed_takes_the_place_of_a_preset_s_axis() -> None:
    assert {trial["optimizer.lr"] for trial in list_grid_trials("sweep=learning_rate", "optimizer.lr=1,2")} == {
        "1",
        "2",
    }


def test_a_preset_s_reference_to_a_key_that_varies_is_left_to_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf/sweep").mkdir(parents=True)
    axes = "{optimizer.lr: '0.1,0.2', seed: '${trainer.max_epochs}', optimizer: {weight_decay: '0,${optimizer.lr}'}}"
    (tmp_path / "conf/sweep/mine.yaml").write_text(f"defaults: [default]\nparams: {axes}\n")
    monkeypatch.chdir(tmp_path)
    asked = compose_sweep(["sweep=mine"])
    assert asked.space.axes["optimizer.weight_decay"].words == "0,${optimizer.lr}"
    assert "seed=500" in asked.space.fixed


@pytest.mark.parametrize(
    "axis", ["data.root=cats,dogs", "+sweep.params.data.root='cats,dogs'", "+sweep.params={data.root: 'cats,dogs'}"]
)
def test_a_key_without_a_default_may_vary(axis: str) -> None:
    asked = compose_sweep(["data=folder", axis])
    assert asked.space.grid() == [["data.root=cats"], ["data.root=dogs"]]
    assert asked.first.config["data"]["root"] == "cats"
    assert asked.shared["data"]["root"] is None


def test_a_key_without_a_default_that_some_trial_lacks_is_named() -> None:
    words = ["data=folder", "model=cnn,deep", "data.root=cats,dogs", "+sweep.when.data.root='model=cnn'"]
    with pytest.raises(UserError, match=r"data\.root: expected a value; got none"):
        compose_sweep(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1,2", "sweep.zip=[seed,sead]"], "sweep.zip: expected keys that vary, as seed; got 'sead'"),
        (["seed=1,2", "optimizer.lr=1,2,3", "sweep.zip=[seed,optimizer.lr]"], "expected as many values of each"),
        (["sweep.objective=test/accuracy", "seed=1,2"], "test metrics cannot be used to select trials"),
        (["sweep.direction=up", "seed=1,2"], "sweep.direction: expected"),
        (
            ["model=logistic,shallow", "seed=1,2", "+sweep.when.seed='model=shalow'"],
            "sweep.when.seed: expected one of the sweep's values of model: logistic, shallow; got 'shalow'.",
        ),
        (["optimizer.lr=interval(0,1)"], "For a search, type hydra/sweeper=optuna"),
        (["sweep.when={seed: 'model=cnn'}", "seed=1,2"], r"To add one, type '\+sweep.when="),
    ],
)
def test_a_mistake_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose_sweep(words)


@pytest.mark.parametrize("words", [[], ["sweep.folder=sweep"]])
def test_a_preset_of_one_s_own_without_the_defaults_says_what_to_write(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf/sweep").mkdir(parents=True)
    preset = tmp_path / "conf/sweep/mine.yaml"
    preset.write_text("params:\n  optimizer.lr: 0.1,0.2\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"Write 'defaults: \[default\]' into the file of your preset\."):
        compose_sweep(["sweep=mine", *words])
    preset.write_text(f"defaults: [default]\n{preset.read_text()}")
    assert len(compose_sweep(["sweep=mine", *words]).space.grid()) == 2
