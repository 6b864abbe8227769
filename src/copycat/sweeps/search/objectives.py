"""Read the objectives and constraints of a sweep, and the values of a run for them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.config.rules import CONSTRAINT
from copycat.records.metrics_csv import read_history
from copycat.records.trial_file import Trial
from copycat.tables.statistics import Direction, direction_sign, natural_direction


def get_objectives(settings: Mapping[str, Any]) -> dict[str, Direction]:
    """Return the names and directions of the objectives in the node `sweep`."""
    names = settings["objective"] if isinstance(settings["objective"], list) else [settings["objective"]]
    given = settings["direction"] if isinstance(settings["direction"], list) else [settings["direction"]] * len(names)
    return {name: direction or natural_direction(name) for name, direction in zip(names, given, strict=True)}


def get_named_metrics(settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the metrics that the node `sweep` names, by key of the configuration."""
    constraints = [match[1] for text in settings["constraints"] if (match := CONSTRAINT.fullmatch(text))]
    named = {"sweep.objective": list(get_objectives(settings)), "sweep.constraints": constraints}
    return {key: [name for name in names if "/" in name] for key, names in named.items()}


def read_values(folder: Path, manifest: Mapping[str, Any], wanted: Mapping[str, Direction]) -> dict[str, float]:
    """Read the metrics of the best epoch by the first objective, and `parameters` and `seconds` of the run."""
    values: dict[str, float] = {"seconds": manifest["seconds"] or 0.0}
    if "parameters" in manifest["results"]:
        values["parameters"] = manifest["results"]["parameters"]
    first = next((name for name in wanted if name not in values), None)
    best: Mapping[str, Any] = manifest["results"].get("best", {})
    if first and best.get("monitor") == first and wanted[first].startswith(best["mode"]):
        return {**values, **best["metrics"]}
    rows = read_history(folder, having=first)
    if rows:
        values |= min(rows, key=lambda row: direction_sign(wanted[first]) * row[first]) if first else rows[-1]
    values.pop("epoch", None)
    return values


def read_curve(folder: Path, objective: str | None) -> list[dict[str, float]]:
    """Read the epochs of a trial that have an objective; none where it has no readable metrics.csv."""
    try:
        return read_history(folder, having=objective)
    except (OSError, ValueError):
        return []


def compute_violations(constraints: Sequence[str], values: Mapping[str, float]) -> dict[str, float]:
    """Compute the violation of each constraint: 0 or less if it holds, as in Optuna; infinite without a value."""
    violations = {}
    for text in constraints:
        match = CONSTRAINT.fullmatch(text)
        assert match
        name, way, limit = match[1], match[2], float(match[3])
        value = values.get(name, math.inf if way == "<" else -math.inf)
        violations[text] = value - limit if way == "<" else limit - value
    return violations


def rank_key(trial: Trial, wanted: Mapping[str, Direction]) -> tuple[bool, float]:
    """Return a key that sorts completed trials, the best first: by the constraints, then by the first objective."""
    name, direction = next(iter(wanted.items()))
    return bool(trial.violated_constraints), direction_sign(direction) * trial.objectives[name]
