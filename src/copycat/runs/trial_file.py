"""trial.json: what a sweep asked of a trial and what came of it, beside its run.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from copycat.runs.folder import write_whole
from copycat.runs.plain import read_file, read_json
from copycat.runs.typed import made

FILE = "trial.json"
SCHEMA = 1
MOST = 2**20
"""Bytes, at most."""
ENDED = ("completed", "pruned", "failed")
"""Statuses of a trial that is not run again."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of a sweep, as its folder says."""

    number: int
    overrides: list[str]
    """Words that make it, with those of the sweep itself."""
    values: dict[str, Any]
    """Of the keys that vary in the sweep."""
    status: str = "running"
    """`running`, or one of those above; a killed trial stays `running`."""
    error: str | None = None
    """Why it failed or was pruned."""
    objectives: dict[str, float] = field(default_factory=dict)
    """Values that the sweep goes by; none where it failed."""
    breaks: list[str] = field(default_factory=list)
    """Those of `sweep.constraints` that it does not keep to."""
    attempts: int = 1
    """How often it was started since it last got further."""
    reached: int = 0
    """Epochs that it had when it was last started."""
    started: str
    ended: str | None = None


def write_trial(folder: Path, trial: Trial) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, **asdict(trial)}, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / FILE, (text + "\n").encode())


def read_trial(folder: Path) -> Trial:
    """What trial.json holds.

    Raises:
        ValueError: where it is none, of this schema.
        OSError: where it cannot be read.
    """
    found = read_json(read_file(folder / FILE, most=MOST))
    if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}")
    return made(Trial, {name: value for name, value in found.items() if name != "schema"})
