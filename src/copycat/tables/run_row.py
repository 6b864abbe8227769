"""A run as one flat row: each value under the name that a user types, for tables, CSV and JSON."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from copycat.records.lock import RUNNING
from copycat.tables.run_reader import RunRecord, current_run_status
from copycat.tables.statistics import wilson_interval

RunRow = Mapping[str, Any]
"""Values by name: `status` and the like, config keys as `optimizer.lr`, metrics of the final weights as
`final/val/loss`, those of the best epoch as `best/val/loss`, and objectives of a sweep by their own names. The 95 %
interval of `final/val/accuracy` is `accuracy_low` to `accuracy_high`, and its baseline `majority`: the accuracy of
always predicting the most frequent class. Runs on images of several classes have neither."""
SPLIT_KEYS = ("data.fold", "data.split_seed")
"""Keys that repeat a configuration on other validation images."""
REPEATS = ("seed", *SPLIT_KEYS)
"""Keys whose values repeat a configuration, and do not make another one."""
METRIC_PREFIXES = FINAL, BEST = "final/", "best/"
ROW_VERSION = 2
"""Version of what `make_unplaced_row` returns for a record: raise it with any change, since rows are cached."""
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}


def make_row(record: RunRecord, root: Path, *, objectives: Collection[str] = ()) -> RunRow:
    """Flatten a run into a row, with its path below `root`, and a trial's values of its sweep's objectives."""
    row, folder = make_unplaced_row(record, objectives=objectives), str(record.folder)
    is_inside = folder.startswith(f"{root}/")
    place_row(row, folder, folder.removeprefix(f"{root}/") if is_inside else _name_below(record.folder, root))
    return row


def place_row(row: dict[str, Any], folder: str, name: str) -> None:
    """Add to a row what its record does not determine: folder, name, and whether a process still runs it."""
    row["run"], row["folder"] = name, folder
    if row["status"] == RUNNING:
        is_trial = next(iter(row)) == "trial"  # further on it is a key of a configuration
        row["status"] = current_run_status(RUNNING, Path(folder), is_trial=is_trial)


def make_unplaced_row(record: RunRecord, *, objectives: Collection[str] = ()) -> dict[str, Any]:
    """Flatten a run into a row that its record determines; `place_row` adds the rest."""
    manifest, trial = record.manifest or {}, record.trial
    request, results = manifest.get("request", {}), manifest.get("results", {})
    best = results.get("best", {})
    values = dict(parse_override(word) for word in record.overrides if "=" in word) | (trial.values if trial else {})
    row: dict[str, Any] = {"trial": trial.number} if trial else {}
    row |= {
        "run": "",
        "folder": "",
        "experiment": request.get("experiment"),
        "copy_of": (request.get("copy_of") or {}).get("folder"),
        "status": record.recorded_status,
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
        row["violated_constraints"] = " ".join(trial.violated_constraints)
    row |= _with_prefix(FINAL, record.final)
    if best:
        row["best/epoch"] = best.get("epoch")
    row |= _with_prefix(BEST, record.best)
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
    if accuracy is None or not images or not 0 <= accuracy <= 1 or data.get("multi_label"):
        return {}  # of several classes per image it is a share of pairs of an image and a class, which are dependent
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
    names = dict.fromkeys(chain.from_iterable(dict.fromkeys(map(tuple, rows))))  # most rows have the same
    return sorted(names, key=lambda name: 2 * name.startswith(BEST) + name.startswith(FINAL))
