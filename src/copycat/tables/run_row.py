"""A run as one flat row: each value under the name that a user types, for tables, CSV and JSON."""

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from copycat.tables.run_reader import Row
from copycat.tables.statistics import wilson

Facts = Mapping[str, Any]
"""Values by name: `status` and the like, config keys as `optimizer.lr`, metrics of the final weights as
`final/val/loss`, those of the best epoch as `best/val/loss`, and objectives of a sweep by their own names. The 95 %
interval of `final/val/accuracy` is `accuracy_low` to `accuracy_high`, and its baseline `majority`: the accuracy of
always predicting the most frequent class."""
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}


def facts(row: Row, root: Path, *, objectives: Collection[str] = ()) -> Facts:
    """Flatten a run into a row.

    Args:
        row: the run.
        root: the folder that its path is relative to.
        objectives: of the sweep that the trial belongs to.
    """
    manifest, trial = row.manifest or {}, row.trial
    came_out = manifest.get("results", {})
    best = came_out.get("best", {})
    values = dict(typed(word) for word in row.overrides if "=" in word) | (trial.values if trial else {})
    found: dict[str, Any] = {"trial": trial.number} if trial else {}
    found |= {
        "run": str(row.folder.relative_to(root)) if row.folder != root else root.resolve().name,
        "folder": str(row.folder),
        "experiment": manifest.get("request", {}).get("experiment"),
        "status": row.status,
        "error": (trial.error if trial else None) or manifest.get("error"),
        "started": trial.started if trial else manifest.get("started"),
        "ended": trial.ended if trial else manifest.get("ended"),
        "seconds": manifest.get("seconds"),
        "epochs": came_out.get("epochs"),
        "parameters": came_out.get("parameters"),
        "synthetic": manifest.get("data", {}).get("synthetic"),
        "overrides": " ".join(row.overrides),
    }
    found |= _beside(row.final.get("val/accuracy"), manifest.get("data", {}))
    found = {**found, **{name: value for name, value in values.items() if found.get(name) is None}}
    found |= {name: trial.objectives[name] for name in objectives if trial and name in trial.objectives}
    if trial and trial.violated_constraints:
        found["breaks"] = " ".join(trial.violated_constraints)
    found |= {f"final/{name}": value for name, value in row.final.items()}
    if best:
        found["best/epoch"] = best.get("epoch")
    return found | {f"best/{name}": value for name, value in row.best.items()}


def _beside(accuracy: float | None, data: Mapping[str, Any]) -> dict[str, Any]:
    images = data.get("images", {}).get("val")
    if accuracy is None or not images or not 0 <= accuracy <= 1:
        return {}
    low, high = wilson(accuracy, images)
    return {"accuracy_low": low, "accuracy_high": high, "majority": data.get("majority", {}).get("val")}


def typed(word: str) -> tuple[str, Any]:
    """Return the key and value of an override."""
    key, _, value = word.lstrip("+~").partition("=")
    return key, plain(value)


def plain(word: str) -> Any:
    """Parse text as the number, boolean or null that it stands for; return other text unchanged."""
    if word in _WORDS:
        return _WORDS[word]
    for kind in (int, float):
        try:
            found = kind(word)
        except ValueError:
            continue
        if math.isfinite(found):
            return found
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def columns(rows: Iterable[Facts]) -> list[str]:
    """Return the names that occur in any row; metrics of the final weights and of the best epoch come last."""
    names = dict.fromkeys(name for row in rows for name in row)
    return sorted(names, key=lambda name: 2 * name.startswith("best/") + name.startswith("final/"))
