"""What an experiment is worth on images that it did not train on: five folds of the 209, and the 50, by five seeds."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from copycat.deploy.arguments import open_completed_in
from copycat.deploy.ensemble import Ensemble, ensemble
from copycat.deploy.evaluation import ACCURACIES, Judgement
from copycat.tables.statistics import wilson

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


def measured(name: str, at: Path) -> dict[str, Any]:
    """Train an experiment with each seed, on each fold and on all of the 209, in folders below `at`."""
    folds = [f"data.folds={FOLDS}", f"data.fold=range({FOLDS})"]
    found: dict[str, Any] = {"folds": FOLDS, "seeds": SEEDS, "each": {}, "ensemble": {}}
    for key, words in (("cross_validated", folds), ("official", [])):
        judged = _swept(name, words, at / key)
        found["each"] |= _each(list(judged.members.values()))
        found["ensemble"] |= _figures(judged.whole)
    return found


def _swept(name: str, words: Sequence[str], at: Path) -> Ensemble:
    seeds = [f"seed=range({SEEDS})", "logger=none", "hydra/launcher=processes", f"sweep.folder={at}"]
    command = [sys.executable, "-m", "copycat", "train", "-m", f"experiment={name}", *words, *seeds]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return ensemble(open_completed_in([at]), [])


def _figures(judged: Judgement) -> Figures:
    """By part: how many images, and the accuracies with their intervals."""
    found: Figures = {}
    for row in judged.rows():
        if row["metric"] in ACCURACIES:
            part = found.setdefault(row["part"], {"images": row["images"]})
            part[row["metric"]] = {"value": round(row["value"], 4), "interval": _rounded(row["low"], row["high"])}
    return found


def _each(members: Sequence[Judgement]) -> Figures:
    """The same of the mean over seeds, with their range. The interval is that of one network as good as the mean."""
    several = [_figures(member) for member in members]
    found: Figures = {}
    for part, first in several[0].items():
        found[part] = {"images": first["images"]}
        for metric in ACCURACIES:
            values = [one[part][metric]["value"] for one in several]
            found[part][metric] = {"mean": round(fmean(values), 4), "range": [min(values), max(values)]}
        mean = found[part]["accuracy"]["mean"]
        found[part]["accuracy"]["interval"] = _rounded(*wilson(mean, first["images"]))
    return found


def _rounded(low: float, high: float) -> list[float]:
    return [round(low, 4), round(high, 4)]


def cells(record: Mapping[str, Any]) -> list[str]:
    """What stands below TITLES."""
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


def _cell(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found.get('mean', found.get('value')):.3f} ({low:.2f} to {high:.2f})"
