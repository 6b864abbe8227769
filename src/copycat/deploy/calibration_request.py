"""What a calibration is asked for, checked before PyTorch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.rule_builders import is_number
from copycat.config.suggestions import did_you_mean, first_line, one_of
from copycat.deploy.conformal_rank import allowed_share, needed_images
from copycat.records.calibration_file import SetKind
from copycat.records.safe_parsers import read_file, read_json

MAX_BYTES = 2**24
"""Size of a file of costs in bytes, at most."""


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """Hold what a calibration is asked for, besides a temperature."""

    costs: Sequence[Sequence[float]] | None = None
    recall: float | None = None
    positive: int = 1
    """Label of the class of the recall."""
    coverage: float | None = None
    sets: SetKind = "lac"


def make_request(
    classes: Sequence[str],
    *,
    cost_fp: float | None = None,
    cost_fn: float | None = None,
    costs: str | None = None,
    recall: float | None = None,
    positive: str | None = None,
    coverage: float | None = None,
    sets: SetKind | None = None,
    multi_label: bool = False,
) -> CalibrationRequest:
    """Make a request from the flags of `copycat calibrate`; none goes with images that may have several classes.

    Raises:
        UserError: where flags do not go together, or do not fit the classes.
    """
    has_pair = cost_fp is not None or cost_fn is not None
    if multi_label:
        flags = {
            **_decision_flags(has_pair, costs, recall),
            "--class": positive,
            "--coverage": coverage,
            "--sets": sets,
        }
        if stated := [flag for flag, value in flags.items() if value]:
            raise UserError(
                f"{stated[0]}: expected a run on images of one class each; these may have several, and each class"
                " gets a threshold of its own. Leave it out."
            )
    chosen = [flag for flag, is_set in _decision_flags(has_pair, costs, recall).items() if is_set]
    if len(chosen) > 1:
        raise UserError(f"{chosen[1]}: expected alone, as one rule decides; got also {chosen[0]}.")
    if positive is not None and positive not in classes:
        hint = did_you_mean(positive, classes, before="--class ")
        raise UserError(f"--class: expected one of {one_of(classes)}; got {positive!r}.{hint}")
    if positive is not None and not (has_pair or recall is not None):
        raise UserError("--class: expected --recall, --cost-fp or --cost-fn beside it; got none.")
    if len(classes) > 2 and positive is None and (has_pair or recall is not None):
        flag = "--recall" if recall is not None else "--cost-fp" if cost_fp is not None else "--cost-fn"
        more = "" if recall is not None else ", or --costs with a matrix"
        raise UserError(f"{flag}: expected --class beside it{more}, as there are {len(classes)} classes; got none.")
    if sets is not None and coverage is None:
        raise UserError(f"--sets: expected --coverage SHARE beside it; got none. Type --coverage 0.9 --sets {sets}.")
    label = 1 if positive is None else list(classes).index(positive)
    matrix = _read_costs(costs, classes) if costs is not None else None
    if has_pair:
        false_positive, false_negative = (1.0 if cost is None else cost for cost in (cost_fp, cost_fn))
        matrix = _pair_costs(len(classes), label, false_positive, false_negative)
    return CalibrationRequest(costs=matrix, recall=recall, positive=label, coverage=coverage, sets=sets or "lac")


def _decision_flags(has_pair: bool, costs: str | None, recall: float | None) -> Mapping[str, bool]:
    return {"--cost-fp": has_pair, "--costs": costs is not None, "--recall": recall is not None}


def _pair_costs(classes: int, positive: int, false_positive: float, false_negative: float) -> list[list[float]]:
    """Return the costs of one class against the others; to confuse the others with each other costs nothing."""
    costs = [[0.0] * classes for _ in range(classes)]
    for other in range(classes):
        if other != positive:
            costs[other][positive], costs[positive][other] = false_positive, false_negative
    return costs


def _read_costs(text: str, classes: Sequence[str]) -> list[list[float]]:
    """Return the matrix that a text or a file has as JSON."""
    try:
        content = text.encode() if text.lstrip().startswith("[") else read_file(Path(text), max_bytes=MAX_BYTES)
        costs: Any = read_json(content)
    except (OSError, ValueError) as error:
        problem = error.strerror.lower() if isinstance(error, OSError) and error.strerror else first_line(error)
        raise UserError(f"--costs: expected a matrix such as '[[0,1],[5,0]]', or a file of it; {problem}.") from error
    size = len(classes)
    rows = costs if isinstance(costs, list) else []
    if [len(row) if isinstance(row, list) else -1 for row in rows] != [size] * size or not all(
        is_number(cost) for row in rows for cost in row
    ):
        order = ", ".join(classes)
        raise UserError(f"--costs: expected {size} rows of {size} numbers, in the order {order}; got {text:.80}.")
    return [[float(cost) for cost in row] for row in rows]


def check_enough(share: float | None, flag: str, images: int, of: str) -> None:
    """Refuse a coverage or a recall that a number of images is too small for.

    Raises:
        UserError: with the number that it takes.
    """
    if share is not None and (needed := needed_images(share)) > images:
        raise UserError(
            f"{flag} {share:g}: expected {needed} images or more {of}; got {images}, which allow at most"
            f" {allowed_share(images)}."
        )
