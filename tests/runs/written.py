"""Run folders written by hand, for what reads many of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from copycat.runs.trial_file import Trial, write_trial


def write_run(
    folder: Path,
    *,
    status: str = "completed",
    overrides: Sequence[str] = (),
    final: Mapping[str, float] | None = None,
    best: Mapping[str, float] | None = None,
    started: str = "2026-11-24T00:00:00.000+00:00",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write a manifest with all that one must have."""
    manifest: dict[str, Any] = {
        "schema": 2,
        "status": status,
        "error": "it went wrong" if status == "failed" else None,
        "started": started,
        "ended": None,
        "seconds": 1.5,
        "asked": {"experiment": "default", "overrides": list(overrides), "config_digest": ""},
        "ran_on": {"code": {"version": "1"}, "environment": {"threads": 1}, "data": {}},
        "data": {"source": "", "synthetic": False, "classes": [], "images": {}, "warnings": [], **(data or {})},
        "came_out": {"epochs": 3, "final": dict(final or {})},
    }
    if best:
        manifest["came_out"]["best"] = {"monitor": "val/loss", "mode": "min", "epoch": 1, "metrics": dict(best)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(manifest))


def write_trial_of(sweep: Path, number: int, values: Mapping[str, Any], *, status: str, **objectives: float) -> None:
    """Write a trial, and its run where it came to one; `_` in an objective's name stands for `/`."""
    overrides = [f"{key}={value}" for key, value in values.items()]
    named = {name.replace("_", "/"): value for name, value in objectives.items()}
    trial = Trial(
        number=number,
        overrides=overrides,
        values=dict(values),
        status=status,
        error="it went wrong" if status == "failed" else None,
        objectives=named,
        started="2026-11-24T00:00:00.000+00:00",
    )
    write_trial(sweep / str(number), trial)
    if status != "failed":
        write_run(sweep / str(number), status=status, overrides=overrides, final=named, best=named)


def forget(folder: Path, score: str) -> None:
    """Take a score out of metrics.csv, as though Copycat had not known it."""
    header, *rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(header) if not name.endswith(f"/{score}")]
    lines = [",".join(row[place] for place in kept) for row in [header, *rows]]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
