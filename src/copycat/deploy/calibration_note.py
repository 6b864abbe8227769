"""Say in a line what a run's calibration is, and what its figures are worth."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.deploy.calibration_rows import INTERVAL_NOTE
from copycat.deploy.label_thresholds import describe_thresholds
from copycat.records.calibration_file import FILE, Calibration, is_foreign_calibration
from copycat.records.run_loader import Opened

if TYPE_CHECKING:
    from copycat.deploy.evaluation import Evaluation

IMAGES = {
    "validation": "the validation images",
    "half of validation": "half of the validation images",
    "out of fold": "out-of-fold predictions",
}


def make_note(made: Calibration, classes: Sequence[str]) -> str:
    """Describe a calibration: its temperature, and what is decided by it."""
    images = pluralize(made.images, "image")
    if made.thresholds is not None:
        return (
            f"predicted above thresholds of the largest F1 on {images}: {describe_thresholds(made.thresholds, classes)}"
        )
    words = [f"calibrated by a temperature of {made.temperature:.4g} on {images}"]
    if made.costs is not None:
        words.append(f"the class of the smallest expected cost is predicted{_describe_costs(made.costs, classes)}")
    if made.threshold is not None and made.positive is not None:
        words.append(f"{classes[made.positive]} from {made.threshold:.4f} on, for a recall of {made.recall:g}")
    if made.coverage is not None:
        words.append(f"sets have the true class of {made.coverage:.4g} of images ({made.sets})")
    return "; ".join(words)


def _describe_costs(costs: Sequence[Sequence[float]], classes: Sequence[str]) -> str:
    if len(classes) != 2:
        return ""
    return f" ({classes[0]} taken for {classes[1]}: {costs[0][1]:g}, {classes[1]} for {classes[0]}: {costs[1][0]:g})"


def report_foreign_calibrations(runs: Sequence[Opened]) -> None:
    """Say on standard error which calibrations the user did not make, of runs that the user made."""
    for run in runs:
        classes = len(run.manifest["data"]["classes"])
        if run.own and is_foreign_calibration(run.folder, classes=classes):
            print_line(f"copycat: {run.user_path / FILE}: not made by you, or changed since; it is used", error=True)


def format_interval(row: dict[str, Any]) -> str:
    """Format the interval of a metric; a dash where it has none."""
    return "–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"


def describe_rechecks(evaluation: "Evaluation") -> Iterator[str]:
    """Describe the figures of a calibrated run, part by part."""
    if not evaluation.rechecks:
        return
    first = next(iter(evaluation.rechecks.values())).calibration
    if first.thresholds is None:
        yield INTERVAL_NOTE
    yield make_note(first, evaluation.classes)
    if first.thresholds is not None:
        if evaluation.images:
            yield "scores of each class and errors are at the thresholds"
    elif first.has_decision:
        yield "accuracy to auroc, confusion matrix and errors are of the most probable class, not of the decision"
    rows = {(row["part"].partition(",")[0], row["metric"]): row["value"] for row in evaluation.rows()}
    for part, recheck in evaluation.rechecks.items():
        if note := recheck.note(part, rows.get((part, "coverage"))):
            yield note
