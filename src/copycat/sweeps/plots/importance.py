"""Plot the importance of each hyper-parameter, by Optuna's PED-ANOVA on the recorded trials."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import Study

from copycat.records.trial_file import Trial
from copycat.sweeps.plots.columns import Column
from copycat.sweeps.plots.results import Results
from copycat.sweeps.plots.style import BLUE, GREY, begin, legend, only_said, short

Costs = np.ndarray[Any, np.dtype[np.float64]]
ENOUGH = 10
"""Minimum number of completed trials."""
TOP = 5
"""Number of trials that count as the best; a tenth of all if that is more."""
SHUFFLES = 40
"""Number of random permutations of the objective that estimate the importance by chance."""


def importance(results: Results) -> Figure:
    """Plot the importance of each key, one panel per objective; seeds and folds are left out as chance."""
    trials = results.valued("completed")
    keys = [key for key in results.keys_over(trials) if len({*key.places}) > 1]
    if len(trials) < ENOUGH:
        why = f"Too few completed trials to tell: {len(trials)}, of {ENOUGH} at least."
        return only_said(results, "importance", why)
    if len(keys) < 2:
        return only_said(results, "importance", "Nothing to compare: fewer than two hyper-parameters vary.")
    top = max(TOP, len(trials) // 10)
    study = _study(trials, keys)
    count = len(results.objectives)
    figure = begin(results, "importance", size=(8, (1.4 + 0.3 * len(keys)) * count + 0.8))
    panels = figure.subplots(count, 1, squeeze=False)[:, 0]
    for axes, (name, direction) in zip(panels, results.objectives.items(), strict=True):
        costs = np.array([trial.objectives[name] for trial in trials]) * (1 if direction == "minimize" else -1)
        shares, chance = importances(study, costs, top=top)
        names = sorted(shares, key=lambda key: shares[key])
        colours = [BLUE if shares[key] > chance[key] else GREY for key in names]
        bars = axes.barh([short(key, 36) for key in names], [shares[key] for key in names], color=colours)
        axes.bar_label(bars, fmt="%.2f", padding=3)
        for colour, said in ((BLUE, "more than chance gives"), (GREY, "no more than chance may give")):
            if colour in colours:
                axes.plot([], [], "s", color=colour, label=said)
        axes.set_xlim(0, 1.1)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"share in what tells the best {top} of {len(trials)} by {name} from the others (PED-ANOVA)")
    legend(figure, panels)
    return figure


def importances(study: Study, costs: Costs, *, top: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Compute the importance of each key, and its 95th percentile under permutations of the objective.

    Args:
        study: with the parameters of the trials.
        costs: objective of each trial of the study, [trials]; lower is better.
        top: number of trials that count as the best.

    Returns:
        Importances that sum to 1, and the percentiles on the same scale, by key.

    Source: Watanabe, Bansal, Hutter: PED-ANOVA (2023), https://arxiv.org/abs/2304.10255.
    """
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top / len(costs))

    def found(values: Costs) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PedAnova.* low `target` values")  # costs are minimized
            return evaluator.evaluate(study, target=lambda trial: float(values[trial.number]))

    true = found(costs)
    whole = sum(true.values()) or 1.0
    shuffle = np.random.default_rng(0).permutation
    dealt = [found(shuffle(costs)) for _ in range(SHUFFLES)]
    chance = {name: float(np.quantile([one[name] for one in dealt], 0.95)) / whole for name in true}
    return {name: value / whole for name, value in true.items()}, chance


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
