"""Read and write calibration.json: how a run's probabilities are scaled, and what is decided by them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.models.temperature import HIGHEST, LOWEST
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.digests import CALIBRATION, digest_file
from copycat.records.run_folder import WEIGHTS
from copycat.records.safe_parsers import check_schema_number, read_file, read_json
from copycat.records.signature import is_signed, sign

FILE = CALIBRATION
SCHEMA = 1
MAX_BYTES = 2**24
"""Size of the file in bytes, at most: costs of a thousand classes are a million numbers."""
_SIGNED_AS = b"calibration"
"""Signed in place of a configuration, so that no other file's signature is valid for it."""

FittedOn = Literal["validation", "half of validation", "out of fold"]
SetKind = Literal["lac", "aps"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Hold the record of a calibration."""

    weights: str
    """Digest of the weights.safetensors that it belongs to."""
    created: str
    """Time in UTC."""
    fitted_on: FittedOn
    images: int
    """Number of images that it was fitted on."""
    temperature: float
    """Divides the logits."""
    checked: dict[str, float]
    """Figures on images that a fit on the others did not see, such as `nll_before` and `nll_after`."""
    costs: list[list[float]] | None = None
    """Cost of each predicted class (column) for each true class (row)."""
    recall: float | None = None
    """The recall that `threshold` is chosen for."""
    positive: int | None = None
    """Label of the class that is predicted from `threshold` on."""
    threshold: float | None = None
    thresholds: list[float] | None = None
    """Probability above which each class is predicted, where images may have several."""
    coverage: float | None = None
    """Share of images whose set of classes has the true one."""
    sets: SetKind | None = None
    """Kind of the conformal sets."""
    quantile: float | None = None
    """Largest score of a class in a set."""
    rank: int | None = None
    """Rank of the quantile among the scores of the images, from 1."""

    @property
    def has_decision(self) -> bool:
        """Return whether another class than the most probable may be predicted."""
        return self.costs is not None or self.threshold is not None or self.thresholds is not None

    def decision(self) -> dict[str, Any]:
        """Return the decision rule, for `deploy.decision`."""
        names = ("costs", "positive", "threshold", "thresholds", "coverage", "sets", "quantile")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json, signed."""
    content: dict[str, Any] = {"schema": SCHEMA, **asdict(calibration)}
    content["signature"] = sign(_SIGNED_AS, content)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / FILE, (text + "\n").encode())


def read_calibration(folder: Path, *, classes: int) -> Calibration | None:
    """Read the calibration of a run; None where it has none.

    A stranger's is numbers alone, and each is checked.

    Raises:
        UserError: where it is invalid, or belongs to other weights.
    """
    path = folder / FILE
    advice = f"Type copycat calibrate {quote(str(folder))}, or remove the file."
    try:
        calibration, _ = _read(path, classes=classes)
        weights = digest_file(folder / WEIGHTS)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UserError(f"{path}: expected the calibration of a run; {problem}. {advice}") from error
    if calibration.weights != weights:
        raise UserError(f"{path}: expected a calibration of these weights; got one of others. {advice}")
    return calibration


def is_foreign_calibration(folder: Path, *, classes: int) -> bool:
    """Return whether a run has a valid calibration that the user did not write, by its signature."""
    try:
        return not _read(folder / FILE, classes=classes)[1]
    except (OSError, ValueError):
        return False


def _read(path: Path, *, classes: int) -> tuple[Calibration, bool]:
    content = read_json(read_file(path, max_bytes=MAX_BYTES))
    check_schema_number(content, [SCHEMA])
    kept = {name: value for name, value in content.items() if name not in ("schema", "signature")}
    calibration = parse_dataclass(Calibration, kept)
    _check_values(calibration, classes=classes)
    return calibration, is_signed(_SIGNED_AS, content)


def _check_values(found: Calibration, *, classes: int) -> None:
    """Raise a ValueError for values that no calibration has."""
    if not LOWEST <= found.temperature <= HIGHEST:
        raise ValueError(f"temperature: expected {LOWEST:g} to {HIGHEST:g}; got {found.temperature}")
    if found.images < 1:
        raise ValueError(f"images: expected 1 or more; got {found.images}")
    if found.costs is not None and [len(row) for row in found.costs] != [classes] * classes:
        raise ValueError(f"costs: expected {classes} rows of {classes} numbers")
    if (found.positive is None) != (found.threshold is None) or not 0 <= (found.positive or 0) < classes:
        raise ValueError(f"positive: expected a label of {classes} classes, beside a threshold")
    if found.thresholds is not None and [0 <= value <= 1 for value in found.thresholds] != [True] * classes:
        raise ValueError(f"thresholds: expected {classes} numbers from 0 to 1")
    sets = (found.coverage, found.sets, found.quantile, found.rank)
    if None in sets and any(value is not None for value in sets):
        raise ValueError("coverage: expected sets, quantile and rank beside it")
    if found.rank is not None and not 1 <= found.rank <= found.images:
        raise ValueError(f"rank: expected 1 to {found.images}; got {found.rank}")
