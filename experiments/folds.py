"""Evaluate an experiment on images that it did not train on: five folds of the 209, and the 50, with five seeds."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from copycat.config.compose import compose
from copycat.deploy.arguments import open_completed_in
from copycat.deploy.ensemble import Ensemble, evaluate_ensemble
from copycat.deploy.evaluation import ACCURACIES, Evaluation
from copycat.tables.statistics import wilson_interval

FOLDS = SEEDS = 5
TITLES = (
    "accuracy, cross-validated",
    "balanced",
    "accuracy on the 50",
    "on the 49 that are not in train",
    "five seeds as one, cross-validated",
    "balanced",
    "five seeds as one, on the 50",
)
Figures = dict[str, dict[str, Any]]


def measure_experiment(name: str, at: Path) -> dict[str, Any]:
    """Train an experiment with each seed, on each fold and on all of the 209, in folders below `at`."""
    folds = [f"data.folds={FOLDS}", f"data.fold=range({FOLDS})"]
    fixed = compose([f"experiment={name}"]).config["initialization"].get("seed") is not None
    free = ["initialization.seed=null"] if fixed else []  # or all seeds would start from the same weights
    results: dict[str, Any] = {"folds": FOLDS, "seeds": SEEDS, "each": {}, "ensemble": {}}
    for key, words in (("cross_validated", folds), ("official", [])):
        evaluation = _run_sweep(name, [*free, *words], at / key)
        results["each"] |= _each(list(evaluation.members.values()))
        results["ensemble"] |= _figures(evaluation.combined)
    return results


def _run_sweep(name: str, words: Sequence[str], at: Path) -> Ensemble:
    seeds = [f"seed=range({SEEDS})", "logger=none", "hydra/launcher=processes", f"sweep.folder={at}"]
    command = [sys.executable, "-m", "copycat", "train", "-m", f"experiment={name}", *words, *seeds]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return evaluate_ensemble(open_completed_in([at]), [])


def _figures(evaluation: Evaluation) -> Figures:
    """Return by part the number of images, and the accuracies with their intervals."""
    results: Figures = {}
    for row in evaluation.rows():
        if row["metric"] in ACCURACIES:
            part = results.setdefault(row["part"], {"images": row["images"]})
            part[row["metric"]] = {"value": round(row["value"], 4), "interval": _rounded(row["low"], row["high"])}
    return results


def _each(members: Sequence[Evaluation]) -> Figures:
    """Return the same for the mean over seeds, with their range.

    The interval is that of one network as good as the mean.
    """
    several = [_figures(member) for member in members]
    results: Figures = {}
    for part, first in several[0].items():
        results[part] = {"images": first["images"]}
        for metric in ACCURACIES:
            values = [one[part][metric]["value"] for one in several]
            results[part][metric] = {"mean": round(fmean(values), 4), "range": [min(values), max(values)]}
        mean = results[part]["accuracy"]["mean"]
        results[part]["accuracy"]["interval"] = _rounded(*wilson_interval(mean, first["images"]))
    return results


def _rounded(low: float, high: float) -> list[float]:
    return [round(low, 4), round(high, 4)]


def cells(record: Mapping[str, Any]) -> list[str]:
    """Return the table's cells below TITLES."""
    each, whole = record["each"], record["ensemble"]
    return [
        _cell(each["all folds"]["accuracy"]),
        f"{each['all folds']['balanced_accuracy']['mean']:.3f}",
        _cell(each["val"]["accuracy"]),
        _cell(each["val, not in train"]["accuracy"]),
        _cell(whole["all folds"]["accuracy"]),
        f"{whole['all folds']['balanced_accuracy']['value']:.3f}",
        _cell(whole["val"]["accuracy"]),
    ]


def _cell(results: Mapping[str, Any]) -> str:
    low, high = results["interval"]
    return f"{results.get('mean', results.get('value')):.3f} ({low:.2f} to {high:.2f})"
