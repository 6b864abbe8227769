"""A run as one flat row: each value under the name that a user types, for tables, CSV and JSON."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from copycat.tables.run_reader import RunRecord
from copycat.tables.statistics import wilson_interval

RunRow = Mapping[str, Any]
"""Values by name: `status` and the like, config keys as `optimizer.lr`, metrics of the final weights as
`final/val/loss`, those of the best epoch as `best/val/loss`, and objectives of a sweep by their own names. The 95 %
interval of `final/val/accuracy` is `accuracy_low` to `accuracy_high`, and its baseline `majority`: the accuracy of
always predicting the most frequent class."""
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}


def make_row(record: RunRecord, root: Path, *, objectives: Collection[str] = ()) -> RunRow:
    """Flatten a run into a row, with its path below `root`, and a trial's values of its sweep's objectives."""
    manifest, trial = record.manifest or {}, record.trial
    request, results = manifest.get("request", {}), manifest.get("results", {})
    best, folder = results.get("best", {}), str(record.folder)
    values = dict(parse_override(word) for word in record.overrides if "=" in word) | (trial.values if trial else {})
    row: dict[str, Any] = {"trial": trial.number} if trial else {}
    row |= {
        "run": folder.removeprefix(f"{root}/") if folder.startswith(f"{root}/") else _name_below(record.folder, root),
        "folder": folder,
        "experiment": request.get("experiment"),
        "copy_of": (request.get("copy_of") or {}).get("folder"),
        "status": record.status,
        "error": (trial.error if trial else None) or manifest.get("error"),
        "started": trial.started if trial else manifest.get("started"),
        "ended": trial.ended if trial else manifest.get("ended"),
        "seconds": manifest.get("seconds"),
        "epochs": results.get("epochs"),
        "parameters": results.get("parameters"),
        "synthetic": manifest.get("data", {}).get("synthetic"),
        "overrides": " ".join(record.overrides),
    }
    row |= _accuracy_context(record.final.get("val/accuracy"), manifest.get("data", {}))
    row = {**row, **{name: value for name, value in values.items() if row.get(name) is None}}
    row |= {name: trial.objectives[name] for name in objectives if trial and name in trial.objectives}
    if trial and trial.violated_constraints:
        row["breaks"] = " ".join(trial.violated_constraints)
    row |= _with_prefix("final/", record.final)
    if best:
        row["best/epoch"] = best.get("epoch")
    row |= _with_prefix("best/", record.best)
    return row


def _with_prefix(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return dict(zip(_prefixed_names(prefix, tuple(metrics)), metrics.values(), strict=True))


@lru_cache(256)  # the runs of a table have the same metrics
def _prefixed_names(prefix: str, names: Sequence[str]) -> list[str]:
    return [f"{prefix}{name}" for name in names]


def _name_below(folder: Path, root: Path) -> str:
    return str(folder.relative_to(root)) if folder != root else root.resolve().name


def _accuracy_context(accuracy: float | None, data: Mapping[str, Any]) -> dict[str, Any]:
    images = data.get("images", {}).get("val")
    if accuracy is None or not images or not 0 <= accuracy <= 1:
        return {}
    low, high = wilson_interval(accuracy, images)
    return {"accuracy_low": low, "accuracy_high": high, "majority": data.get("majority", {}).get("val")}


@lru_cache(4096)  # the trials of a sweep share most of them
def parse_override(override: str) -> tuple[str, Any]:
    """Return the key and value of an override."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, parse_value(value)


def parse_value(text: str) -> Any:
    """Parse text as the number, boolean or null that it stands for; return other text unchanged."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def column_names(rows: Iterable[RunRow]) -> list[str]:
    """Return the names that occur in any row; metrics of the final weights and of the best epoch come last."""
    names: dict[str, Any] = {}
    for row in rows:
        names.update(row)
    return sorted(names, key=lambda name: 2 * name.startswith("best/") + name.startswith("final/"))
