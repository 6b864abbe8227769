"""What a calibration is asked for, checked before PyTorch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from copycat.config.errors import UserError
from copycat.config.rule_builders import choice, is_number, number
from copycat.config.suggestions import did_you_mean, first_line, one_of
from copycat.data.labels import spell_like
from copycat.deploy.conformal_rank import allowed_share, needed_images
from copycat.records.calibration_file import SetKind
from copycat.records.safe_parsers import read_file, read_json

MAX_BYTES = 2**24
"""Size of a file of costs in bytes, at most."""


FLAGS = {
    "cost_fp": "--cost-fp",
    "cost_fn": "--cost-fn",
    "costs": "--costs",
    "recall": "--recall",
    "positive": "--class",
    "coverage": "--coverage",
    "sets": "--sets",
}
"""Name of each setting on the command line."""
PARAMETERS = {name: name for name in ("costs", "recall", "positive", "coverage", "sets")}
"""Name of each setting in Python, where `costs` alone states costs."""
_SHARE = number(lambda v: 0 < v < 1, "between 0 and 1")
_COST = number(lambda v: v >= 0, "of 0 or more")
_RULES = {
    "cost_fp": _COST,
    "cost_fn": _COST,
    "recall": _SHARE,
    "coverage": _SHARE,
    "sets": choice(*get_args(SetKind)),
}


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """Hold the requested parts of a calibration, besides its temperature."""

    costs: Sequence[Sequence[float]] | None = None
    recall: float | None = None
    positive: int = 1
    """Label of the class of the recall."""
    coverage: float | None = None
    sets: SetKind = "lac"
    names: Mapping[str, str] = field(default_factory=lambda: FLAGS)
    """What messages call the settings."""


def make_request(
    classes: Sequence[str],
    *,
    multi_label: bool = False,
    names: Mapping[str, str] = FLAGS,
    **given: Any,
) -> CalibrationRequest:
    """Make a request from the settings of `FLAGS` or `PARAMETERS`; none goes with images of several classes.

    `costs` are a matrix, on the command line its JSON or a file of it. Messages call the settings by `names`.

    Raises:
        UserError: where a value is not as expected, or settings do not go together, or do not fit the classes.
    """
    said = {name: value for name, value in given.items() if value is not None}
    for name, rule in _RULES.items():
        if name in said and not rule.allows(value := said[name]):
            got = f"{value:g}" if isinstance(value, float) else repr(value)
            raise UserError(f"{names[name]}: expected {rule.words}; got {got}.{did_you_mean(value, rule.options)}")
        if name in said and name != "sets":
            said[name] = float(said[name])  # of NumPy's, too, whose repr is no number
    if multi_label and said:
        first = next(names[name] for name in names if name in said)
        raise UserError(
            f"{first}: expected a run on images of one class each; these may have several, and each class"
            " gets a threshold of its own. Leave it out."
        )
    pair = [name for name in ("cost_fp", "cost_fn") if name in said]
    chosen = [*pair[:1], *(name for name in ("costs", "recall") if name in said)]
    if len(chosen) > 1:
        raise UserError(f"{names[chosen[1]]}: expected alone, as one rule decides; got also {names[chosen[0]]}.")
    of_class = [name for name in (*pair, "recall") if name in said]
    positive, flag = said.get("positive"), names["positive"]
    positive = spell_like(positive, classes) if isinstance(positive, str) else positive
    if "positive" in said and positive not in classes:
        before = f"{flag} " if names is FLAGS else ""
        hint = did_you_mean(positive, classes, before=before)
        raise UserError(f"{flag}: expected one of {one_of(classes)}; got {positive!r}.{hint}")
    if "positive" in said and not of_class:
        *others, last = (names[name] for name in ("recall", "cost_fp", "cost_fn") if name in names)
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{flag}: expected {wanted} beside it; got none.")
    if len(classes) > 2 and positive is None and of_class:
        more = f", or {names['costs']} with a matrix" if pair else ""
        raise UserError(
            f"{names[of_class[0]]}: expected {flag} beside it{more}, as there are {len(classes)} classes; got none."
        )
    if "sets" in said and "coverage" not in said:
        sets, coverage = names["sets"], names["coverage"]
        typed = f"{coverage} 0.9 {sets} {said['sets']}" if names is FLAGS else f"{coverage}=0.9"
        raise UserError(f"{sets}: expected {coverage} beside it; got none. Type {typed}.")
    label = 1 if positive is None else list(classes).index(positive)
    matrix = _read_costs(said["costs"], classes, names["costs"]) if "costs" in said else None
    if pair:
        matrix = _pair_costs(len(classes), label, said.get("cost_fp", 1.0), said.get("cost_fn", 1.0))
    return CalibrationRequest(
        costs=matrix,
        recall=said.get("recall"),
        positive=label,
        coverage=said.get("coverage"),
        sets=said.get("sets", "lac"),
        names=names,
    )


def _pair_costs(classes: int, positive: int, false_positive: float, false_negative: float) -> list[list[float]]:
    """Return the costs of one class against the others; to confuse the others with each other costs nothing."""
    costs = [[0.0] * classes for _ in range(classes)]
    for other in range(classes):
        if other != positive:
            costs[other][positive], costs[positive][other] = false_positive, false_negative
    return costs


def _read_costs(given: Any, classes: Sequence[str], flag: str) -> list[list[float]]:
    """Return a matrix of costs: as it is, or of a text or a file that has it as JSON."""
    costs = given
    if isinstance(given, str) and flag == FLAGS["costs"]:
        try:
            content = given.encode() if given.lstrip().startswith("[") else read_file(Path(given), max_bytes=MAX_BYTES)
            costs = read_json(content)
        except (OSError, ValueError) as error:
            problem = error.strerror.lower() if isinstance(error, OSError) and error.strerror else first_line(error)
            raise UserError(
                f"{flag}: expected a matrix such as '[[0,1],[5,0]]', or a file of it; {problem}."
            ) from error
    try:
        rows = [[float(cost) for cost in row if not isinstance(cost, (str, bool))] for row in costs]
    except (TypeError, ValueError, OverflowError):
        rows = []
    size = len(classes)
    if [len(row) for row in rows] != [size] * size or not all(is_number(cost) for row in rows for cost in row):
        got = " ".join(str(given).split())
        raise UserError(
            f"{flag}: expected {size} rows of {size} numbers, in the order {', '.join(classes)}; got {got:.80}."
        )
    return rows


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
