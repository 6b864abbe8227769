"""A run as one flat row: each fact under the name that a user types, shown in tables and written to CSV and JSON."""

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from copycat.tables.run_reader import Row
from copycat.tables.statistics import wilson

Facts = Mapping[str, Any]
"""`status` and the like, keys as `optimizer.lr`, metrics of the final weights as `final/val/loss`, those of the
best epoch as `best/val/loss`, and within a sweep its objectives by their own names. What `final/val/accuracy` is to be
held against: its 95 % interval from `accuracy_low` to `accuracy_high`, and `majority`, what always saying the commonest
class would score."""
_WORDS: Mapping[str, Any] = {"null": None, "true": True, "false": False}


def facts(row: Row, root: Path, *, objectives: Collection[str] = ()) -> Facts:
    """All that a row says.

    Args:
        objectives: of the sweep whose trials are looked at.
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
    """Key and value of an override."""
    key, _, value = word.lstrip("+~").partition("=")
    return key, plain(value)


def plain(word: str) -> Any:
    """A word as the number, switch or null that it stands for, else itself."""
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
    """Names of all facts that some row has; metrics of the final weights and of the best epoch come last."""
    names = dict.fromkeys(name for row in rows for name in row)
    return sorted(names, key=lambda name: 2 * name.startswith("best/") + name.startswith("final/"))
