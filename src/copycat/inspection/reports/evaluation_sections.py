"""Make sections of a run's page: metrics with their intervals, and predictions on held-out images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.metric_names import with_mean_loss
from copycat.config.printable import printable
from copycat.config.suggestions import pluralize
from copycat.inspection.confusion_counts import confusion_matrix, count_decisions
from copycat.inspection.reports.classification_curves import (
    compute_class_curves,
    compute_reliability,
    make_class_charts,
    make_reliability_charts,
)
from copycat.inspection.reports.contents import COLORS, Cell, PageImage, Section, Table
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.metrics import describe_unlisted, list_quantities
from copycat.records.calibration_file import Calibration
from copycat.records.predictions import Predictions
from copycat.tables.statistics import format_number, wilson_interval

PARTS = ("train", "val", "test")
MAX_CLASSES = 20
"""Classes in a confusion matrix, at most."""


def make_metric_sections(
    manifest: Mapping[str, Any], predictions: Mapping[str, Predictions], epoch_images: Mapping[str, int]
) -> Iterator[Section]:
    """Make the table of metrics of the final weights and of the best epoch, with intervals; none without metrics.

    `epoch_images` are the images of each part in an epoch: the final weights are evaluated on all of them.
    """
    results, images, is_several = manifest["results"], manifest["data"]["images"], manifest["data"].get("multi_label")
    best = results.get("best", {})
    columns = {
        "final": results.get("final", {}),
        f"epoch {best.get('epoch')}, best {best.get('monitor')}": with_mean_loss(best.get("metrics", {})),
    }
    places = [
        (title, part)
        for title, values in columns.items()
        for part in PARTS
        if any(name.startswith(f"{part}/") for name in values)
    ]
    if not places:
        return
    intervals = {("final", part): bootstrap(each.probability, each.label) for part, each in predictions.items()}
    rows = []
    for name in list_quantities(name for values in columns.values() for name in values):
        cells = []
        for title, part in places:
            value = columns[title].get(f"{part}/{name}")
            count = (images if title == "final" else epoch_images).get(part, 0)
            interval = intervals.get((title, part), {}).get(name)
            if name == "accuracy" and not is_several and value is not None and count and 0 <= value <= 1:
                interval = wilson_interval(value, count)
            cells.append(_cell(value, interval, count))
        rows.append([name, *cells])
    classes = manifest["data"]["classes"]
    counts = ", ".join(f"{images[part]} {part}" for part in PARTS if part != "train" and images.get(part))
    note = f"95 % intervals from {counts} images: accuracy by Wilson's score, others by bootstrap."
    if is_several:
        note = note.replace("accuracy by Wilson's score, others by bootstrap", "by bootstrap")
        note += " Scores are means over the classes, each predicted above 0.5."
    elif len(classes) == 2:
        note += f" Precision, recall and f1 are of: {classes[1]}."
    if unlisted := describe_unlisted(name for values in columns.values() for name in values):
        note += f" {unlisted.capitalize()}."
    if any(title != "final" and part == "train" for title, part in places):
        note += " Training metrics of an epoch are measured during it, before each update."
    head = ["metric", *(f"{part}, {title}" for title, part in places)]
    yield Section(title="Metrics", note=note, table=Table(rows, head))


def _cell(value: float | None, interval: tuple[float, float] | None, images: int) -> str:
    if interval is None or value is None:
        return format_number(value)
    return f"{format_number(value)} ({interval[0]:.2f} to {interval[1]:.2f} of {images})"


def make_prediction_sections(
    manifest: Mapping[str, Any],
    predictions: Mapping[str, Predictions],
    trained: Mapping[str, NDArray[np.bool_]],
    calibration: Calibration | None = None,
) -> Iterator[Section]:
    """Describe the predictions of the final weights on held-out images, and their reliability after a calibration."""
    from copycat.inspection.reports.confusion_plots import draw_class_curves, draw_reliability

    classes = [printable(name) for name in manifest["data"]["classes"]]
    for part, predicted in predictions.items():
        title = {"val": "validation", "test": "test"}.get(part, part)
        is_correct, count = int(predicted.is_correct.sum()), len(predicted.label)
        images = pluralize(count, "image")
        new = "" if predicted.is_multi_label else _accuracy_without_trained(predicted, trained.get(part))
        curves = [*compute_class_curves(predicted.probability, predicted.label, classes)]
        reliability = compute_reliability(predicted.probability, predicted.label, classes)
        if predicted.is_multi_label:
            yield _make_class_section(title, predicted, classes, calibration)
        else:
            is_drawn = len(classes) <= MAX_CLASSES
            left_out = (
                "" if is_drawn else f" The matrix of {len(classes)} classes is left out; {MAX_CLASSES} have room."
            )
            has_decision = calibration is not None and calibration.has_decision
            argmax = " Of the most probable class, not of the calibration's decision." if has_decision else ""
            yield Section(
                title=f"Confusion matrix ({title})",
                note=f"{_accuracy(is_correct, count)} {_baseline(predicted, classes)}{new}{left_out}{argmax}",
                table=_confusion_table(predicted, classes) if is_drawn else None,
            )
        against = "" if predicted.is_multi_label else " against the others"
        each = "each class" if len(classes) <= COLORS else f"each of the first {COLORS} of {len(classes)} classes"
        roc = f"ROC, and precision over recall, of {each}{against}, on {images}."
        quantity = reliability.quantity[0].upper() + reliability.quantity[1:]
        bins = f"{quantity} against {reliability.score}, on {images}."
        plots = [
            PageImage(draw_class_curves(curves), roc, f"roc-{part}", make_class_charts(curves)),
            PageImage(draw_reliability(reliability), bins, f"reliability-{part}", make_reliability_charts(reliability)),
        ]
        if calibration is not None and not predicted.is_multi_label:
            after = predicted.at_temperature(calibration.temperature)
            found = replace(
                compute_reliability(after.probability, after.label, classes), title="Reliability after calibration"
            )
            caption = f"The same, at the calibration's temperature of {calibration.temperature:.4g}."
            name = f"reliability-calibrated-{part}"
            plots.append(PageImage(draw_reliability(found), caption, name, make_reliability_charts(found)))
        yield Section(title=f"Curves of predictions ({title})", images=plots)


def _make_class_section(
    part: str, predicted: Predictions, classes: Sequence[str], calibration: Calibration | None
) -> Section:
    """Count images with and without each class, by whether it is predicted."""
    thresholds = None if calibration is None else calibration.thresholds
    decided = predicted.probability > np.array(thresholds or 0.5)
    right = int((decided == predicted.label).all(1).sum())
    above = "the thresholds of the calibration" if thresholds else "0.5"
    rows: list[list[str | Cell]] = []
    for name, row in zip(classes, count_decisions(decided, predicted.label), strict=True):
        present, absent = row["found"] + row["missed"], row["false"] + row["rejected"]
        cells = [
            _confusion_cell(row["found"], present, is_right=True),
            _confusion_cell(row["missed"], present, is_right=False),
            _confusion_cell(row["false"], absent, is_right=False),
            _confusion_cell(row["rejected"], absent, is_right=True),
        ]
        rows.append([name, *cells])
    head = ["class", "present: predicted", "present: not predicted", "absent: predicted", "absent: not predicted"]
    caption = "Images with the class (present) and without it (absent). Blue is correct, orange is wrong."
    note = f"Predicted above {above}. Of {len(decided)} images {right} have all their classes predicted, and no other."
    if thresholds and part == "validation":
        note += " The thresholds were fitted on such images, so that these counts are optimistic."
    return Section(title=f"Classes ({part})", note=note, table=Table(rows, head, caption))


def _confusion_table(predicted: Predictions, classes: Sequence[str]) -> Table:
    matrix = confusion_matrix(predicted.probability, predicted.label).tolist()
    rows: list[list[str | Cell]] = []
    for index, (name, counts) in enumerate(zip(classes, matrix, strict=True)):
        total = sum(counts)
        cells = [_confusion_cell(count, total, is_right=index == column) for column, count in enumerate(counts)]
        rows.append([name, *cells, str(total)])
    caption = "Rows: true class. Columns: predicted class. Shares are of the row; blue is correct, orange is wrong."
    return Table(rows, ["true class", *(f"predicted {name}" for name in classes), "images"], caption)


def _confusion_cell(count: int, total: int, *, is_right: bool) -> Cell:
    share = count / max(total, 1)
    return Cell(str(count), f"{share:.0%}" if total else "", ceil(10 * share), "right" if is_right else "wrong")


def _accuracy(right: int, count: int) -> str:
    return f"{right} of {count} are correct: {format_number(right / count)}."


def _accuracy_without_trained(predicted: Predictions, trained: NDArray[np.bool_] | None) -> str:
    """State the accuracy without images that the run also trained on."""
    if trained is None or not trained.any() or trained.all():
        return ""
    untrained = predicted[~trained]
    balanced = untrained.scores().get("balanced_accuracy")
    prefix = f" Without {pluralize(int(trained.sum()), 'image')} also in train, "
    words = prefix + _accuracy(int(untrained.is_correct.sum()), len(untrained.label))
    return words if balanced is None else f"{words} Balanced accuracy: {format_number(balanced)}."


def _baseline(predicted: Predictions, classes: Sequence[str]) -> str:
    """State the baseline of an accuracy where classes differ in size."""
    counts = np.bincount(predicted.label)
    share = format_number(float(counts.max() / counts.sum()))
    baseline = f"baseline (always {classes[int(counts.argmax())]}): {share}."
    balanced = predicted.scores().get("balanced_accuracy")
    if balanced is None:
        return baseline[0].upper() + baseline[1:]
    return f"Balanced accuracy, the mean over classes, is {format_number(balanced)}; {baseline}"
