"""trial.json: what a sweep asked of a trial and what came of it, beside its run.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from copycat.config.renamed_keys import current_keys, current_words
from copycat.records.dataclass_parser import made
from copycat.records.run_folder import write_whole
from copycat.records.safe_parsers import read_file, read_json
from copycat.records.signature import is_signed, sign

FILE = "trial.json"
SCHEMA = 2
KEYS_RENAMED = 2
"""The first schema whose keys have their present names."""
FORMER = {"breaks": "violated_constraints", "reached": "epochs_at_start"}
"""Names of schema 1, and their present ones."""
MOST = 2**20
"""Bytes, at most."""
ENDED = ("completed", "pruned", "failed")
"""Statuses of a trial that is not run again."""
_SIGNED_AS = b"trial"
"""In the place of a configuration: no run's signature is that of a trial."""


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
    violated_constraints: list[str] = field(default_factory=list)
    """Those of `sweep.constraints` that it violates."""
    attempts: int = 1
    """How often it was started since it last got further."""
    epochs_at_start: int = 0
    """Epochs that it had when it was last started."""
    started: str
    ended: str | None = None


def write_trial(folder: Path, trial: Trial) -> None:
    """Write trial.json, signed: its overrides are run again when the sweep is resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"schema": SCHEMA, **asdict(trial)}
    content["signature"] = sign(_SIGNED_AS, content)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / FILE, (text + "\n").encode())


def read_trial(folder: Path) -> Trial:
    """What trial.json holds.

    Raises:
        ValueError: where it is none, of this schema.
        OSError: where it cannot be read.
    """
    return _read(folder)[0]


def read_own_trial(folder: Path) -> Trial | None:
    """What trial.json holds, where the user made it for this folder; None where it is missing, damaged or changed."""
    try:
        trial, own = _read(folder)
    except (OSError, ValueError):
        return None
    return trial if own and str(trial.number) == folder.name else None


def _read(folder: Path) -> tuple[Trial, bool]:
    found = read_json(read_file(folder / FILE, most=MOST))
    if not isinstance(found, Mapping) or found.get("schema") not in range(1, SCHEMA + 1):
        raise ValueError(f"expected schema {SCHEMA}")
    kept = {name: value for name, value in found.items() if name not in ("schema", "seal", "signature")}
    if found["schema"] < KEYS_RENAMED:
        kept = {FORMER.get(name, name): value for name, value in kept.items()}
    trial = made(Trial, kept)
    if found["schema"] < KEYS_RENAMED:
        trial = replace(trial, overrides=current_words(trial.overrides), values=current_keys(trial.values))
    return trial, is_signed(_SIGNED_AS, found)
