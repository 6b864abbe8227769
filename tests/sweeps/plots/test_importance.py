"""The importance of a key tells whether it matters for reaching the best trials."""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from copycat.sweeps.plots.importance import plot_importance
from copycat.sweeps.plots.results import Results, read_results
from copycat.sweeps.plots.style import BLUE, GRAY, STYLE
from tests.support.sweep_folders import make_trial, write_sweep_folder

SPACE = dict.fromkeys(["optimizer.lr", "model", "activation", "optimizer.nesterov"], "")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with matplotlib.style.context(["default", STYLE]):
        yield


def make_search_results(objective: Callable[[float], float], at: Path) -> Results:
    """Make forty trials whose objective is a function of the learning rate."""
    chance = np.random.default_rng(0)
    trials = []
    for number in range(40):
        lr, model = 10 ** chance.uniform(-4, -1), str(chance.choice(["shallow", "logistic"]))
        values = {"optimizer.lr": lr, "model": model, "optimizer.nesterov": bool(chance.integers(2))}
        if model == "shallow":
            values["activation"] = str(chance.choice(["relu", "elu"]))
        trials.append(make_trial(number, values, objective(float(np.log10(lr)))))
    return read_results(write_sweep_folder(at, trials, space=SPACE))


def read_importance_bars(results: Results) -> dict[str, tuple[float, str]]:
    """Return width and color of each bar, by key."""
    (axes,) = plot_importance(results).axes
    assert "best 5 of 40 trials by val/loss" in axes.get_xlabel()
    assert "PED-ANOVA" in axes.get_xlabel()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return {label: (bar.get_width(), to_hex(bar.get_facecolor())) for label, bar in zip(labels, found, strict=True)}


def test_importance_finds_the_key_that_matters(tmp_path: Path) -> None:
    found = read_importance_bars(make_search_results(lambda power: abs(power + 2), tmp_path))
    assert set(found) == {"optimizer.lr", "model", "activation", "optimizer.nesterov"}
    assert found["optimizer.lr"][0] > 0.7
    assert sum(width for width, _ in found.values()) == pytest.approx(1)
    assert [key for key, (_, color) in found.items() if color == BLUE.lower()] == ["optimizer.lr"]


def test_importance_by_chance_is_gray(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    found = read_importance_bars(make_search_results(lambda power: float(chance.random()), tmp_path))
    assert {color for _, color in found.values()} == {GRAY.lower()}


def test_no_key_has_an_importance_where_all_trials_tie(tmp_path: Path) -> None:
    found = read_importance_bars(make_search_results(lambda power: 0.5, tmp_path))
    assert {*found.values()} == {(0.0, GRAY.lower())}
