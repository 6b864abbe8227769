"""Read and write trial.json: the request and the result of a sweep's trial, beside its run.json."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.renamed_keys import current_keys, current_words
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.safe_parsers import check_schema_number, read_file, read_json
from copycat.records.signature import is_signed, sign

FILE = "trial.json"
SCHEMA = 2
KEYS_RENAMED = 2
"""First schema with the present key names."""
FORMER = {"breaks": "violated_constraints", "reached": "epochs_at_start"}
"""Key names of schema 1, and their present names."""
MAX_BYTES = 2**20
"""Maximum size of a file to read, in bytes."""
ENDED = ("completed", "pruned", "failed")
"""Statuses of trials that are not run again."""
_SIGNED_AS = b"trial"
"""Signed in place of a configuration, so that no run's signature is valid for a trial."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Hold the record of one trial of a sweep."""

    number: int
    overrides: list[str]
    """Overrides of the trial, including those of the sweep."""
    values: dict[str, Any]
    """Values of the keys that vary in the sweep."""
    status: str = "running"
    """`running`, or one of ENDED; a killed trial stays `running`."""
    error: str | None = None
    """Reason of its failure or pruning."""
    objectives: dict[str, float] = field(default_factory=dict)
    """Values of the sweep's objectives; empty where it failed."""
    violated_constraints: list[str] = field(default_factory=list)
    """Constraints of `sweep.constraints` that it violates."""
    attempts: int = 1
    """Number of starts since it last made progress."""
    epochs_at_start: int = 0
    """Number of epochs trained before its last start."""
    started: str
    ended: str | None = None


def write_trial(folder: Path, trial: Trial) -> None:
    """Write trial.json, signed, since resuming the sweep runs its overrides again."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"schema": SCHEMA, **vars(trial)}
    content["signature"] = sign(_SIGNED_AS, content)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / FILE, (text + "\n").encode())


def read_trial(folder: Path) -> Trial:
    """Read trial.json.

    Raises:
        ValueError: where it is invalid, or of a schema that this version does not read.
        OSError: where it cannot be read.
    """
    return _read(folder)[0]


def read_own_trial(folder: Path) -> Trial | None:
    """Read a trial.json that the user made for this folder; None where it is missing, damaged or changed."""
    try:
        trial, own = _read(folder)
    except (OSError, ValueError):
        return None
    return trial if own and str(trial.number) == folder.name else None


def _read(folder: Path) -> tuple[Trial, bool]:
    content = read_json(read_file(folder / FILE, max_bytes=MAX_BYTES))
    check_schema_number(content, range(1, SCHEMA + 1))
    kept = {name: value for name, value in content.items() if name not in ("schema", "seal", "signature")}
    if content["schema"] < KEYS_RENAMED:
        kept = {FORMER.get(name, name): value for name, value in kept.items()}
    trial = parse_dataclass(Trial, kept)
    if content["schema"] < KEYS_RENAMED:
        trial = replace(trial, overrides=current_words(trial.overrides), values=current_keys(trial.values))
    return trial, is_signed(_SIGNED_AS, content)
