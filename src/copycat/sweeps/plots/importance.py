"""Plot the importance of each hyper-parameter, by Optuna's PED-ANOVA on the recorded trials."""

import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import Study

from copycat.inspection.reports.figures import shorten
from copycat.records.trial_file import Trial
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import BLUE, GRAY, add_legend, make_figure, make_message_figure

Costs = np.ndarray[Any, np.dtype[np.float64]]
MIN_TRIALS = 10
"""Minimum number of completed trials."""
MIN_BEST = 5
"""Number of trials that count as the best; a tenth of all if that is more."""
PERMUTATIONS = 40
"""Number of random permutations of the objective that estimate the importance by chance."""


@dataclass(frozen=True)
class Importance:
    """Hold the importance of each key for one objective, in ascending order."""

    objective: str
    shares: Mapping[str, float]
    above_chance: Set[str]
    """Keys whose importance is larger than the 95th percentile under permutations."""
    top: int
    """Number of trials that count as the best."""
    trials: int

    @property
    def label(self) -> str:
        """Return the label of the axis."""
        return f"importance for reaching the best {self.top} of {self.trials} trials by {self.objective} (PED-ANOVA)"


def measure_importance(results: Results) -> list[Importance] | str:
    """Measure the importance of each key for each objective, or return why not; seeds and folds are left out."""
    trials = results.get_scored_trials("completed")
    keys = [key for key in results.get_key_columns(trials) if len({*key.places}) > 1]
    if len(trials) < MIN_TRIALS:
        return f"Too few completed trials: {len(trials)}; at least {MIN_TRIALS} are needed."
    if len(keys) < 2:
        return "Nothing to compare: fewer than two hyper-parameters vary."
    top = max(MIN_BEST, len(trials) // 10)
    study, found = _study(trials, keys), []
    for name, direction in results.objectives.items():
        costs = np.array([trial.objectives[name] for trial in trials]) * (1 if direction == "minimize" else -1)
        shares, chance = _compute_importances(study, costs, top=top)
        ordered = {key: shares[key] for key in sorted(shares, key=lambda key: shares[key])}
        above = {key for key in shares if shares[key] > chance[key]}
        found.append(Importance(name, ordered, above, top, len(trials)))
    return found


def plot_importance(results: Results) -> Figure:
    """Plot the importance of each key, one panel per objective."""
    return draw_importance(results, measure_importance(results))


def draw_importance(results: Results, found: list[Importance] | str) -> Figure:
    """Draw measured importances."""
    if isinstance(found, str):
        return make_message_figure(results, "importance", found)
    height = (1.4 + 0.3 * len(found[0].shares)) * len(found) + 0.8
    figure = make_figure(results, "importance", size=(8, height))
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, one in zip(panels, found, strict=True):
        colors = [BLUE if key in one.above_chance else GRAY for key in one.shares]
        bars = axes.barh([shorten(key, 36) for key in one.shares], [*one.shares.values()], color=colors)
        axes.bar_label(bars, fmt="%.2f", padding=3)
        for color, label in ((BLUE, "above chance"), (GRAY, "not above chance")):
            if color in colors:
                axes.plot([], [], "s", color=color, label=label)
        axes.set_xlim(0, 1.1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(one.label)
    add_legend(figure, panels)
    return figure


def _compute_importances(study: Study, costs: Costs, *, top: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Compute the share of each key by the `top` trials of least cost, and its 95th percentile under permutations.

    Source: Watanabe, Bansal, Hutter: PED-ANOVA (2023), https://arxiv.org/abs/2304.10255.
    """
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top / len(costs))

    def evaluate(values: Costs) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PedAnova.* low `target` values")  # costs are minimized
            warnings.filterwarnings("ignore", "Target and region quantiles select")  # all are 0 where all trials tie
            return evaluator.evaluate(study, target=lambda trial: float(values[trial.number]))

    true = evaluate(costs)
    total = sum(true.values()) or 1.0
    shuffle = np.random.default_rng(0).permutation
    permuted = [evaluate(shuffle(costs)) for _ in range(PERMUTATIONS)]
    chance = {name: float(np.quantile([one[name] for one in permuted], 0.95)) / total for name in true}
    return {name: value / total for name, value in true.items()}, chance


def _study(trials: Sequence[Trial], keys: Sequence[Column]) -> Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # Optuna logs each new study otherwise
    study = optuna.create_study()
    distributions = {key.name: _distribution(key) for key in keys}
    for index in range(len(trials)):
        params = {key.name: _param(key, place) for key in keys if (place := key.places[index]) is not None}
        own = {name: distributions[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=0.0))
    return study


def _distribution(key: Column) -> BaseDistribution:
    if key.scale == "category":
        return CategoricalDistribution(list(key.labels))
    return FloatDistribution(min(key.present), max(key.present), log=key.scale == "log")


def _param(key: Column, place: float) -> float | str:
    return key.labels[int(place)] if key.scale == "category" else place
