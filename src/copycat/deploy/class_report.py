"""Break an evaluation down by class: confusion matrix, precision, recall and F1, and the misclassified images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.data.labels import label_names
from copycat.deploy.decision import DEFAULT_THRESHOLD, decide_labels
from copycat.deploy.evaluation import Evaluation
from copycat.inspection.confusion_counts import confusion_matrix, count_decisions
from copycat.records.predictions import Predictions
from copycat.tables.render import Column, metric_cell, print_table, value_cell, wide_console

MAX_CLASSES, MAX_ERRORS = 10, 10
"""Classes whose confusion matrix is printed, and errors of a part that are printed, at most; JSON has all."""
Row = Mapping[str, Any]


def make_class_reports(evaluation: Evaluation, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the confusion matrix, the scores of each class and the errors of each part but the training part.

    Errors are ordered by confidence; an ensemble over folds has none, since it has no names of images.
    """
    reports = []
    for part, predictions in evaluation.predictions.items():
        if part != "train" and predictions.is_multi_label:
            reports.append({"part": part, **_make_multi_label_report(evaluation, part, classes)})
        elif part != "train":
            matrix = confusion_matrix(predictions.probability, predictions.label)
            errors = _error_rows(predictions, evaluation.images.get(part, ()), classes)
            rows = _class_rows(matrix, classes)
            reports.append({"part": part, "confusion": matrix.tolist(), "classes": rows, "errors": errors})
    return reports


def print_class_reports(reports: Sequence[Row], classes: Sequence[str]) -> None:
    """Print a table of classes and one of the most confident errors for each part."""
    for report in reports:
        part = report["part"]
        titles: list[Column] = [(name, value_cell(name)) for name in ("class", "images")]
        rows = report["classes"]
        if "confusion" not in report:
            titles += [("true\npositives", value_cell("rightly")), ("false\npositives", value_cell("wrongly"))]
        elif len(classes) <= MAX_CLASSES:
            titles += [(f"predicted\n{name}", value_cell(f"predicted {name}")) for name in classes]
            rows = [
                {**row, **{f"predicted {name}": count for name, count in zip(classes, counts, strict=True)}}
                for row, counts in zip(rows, report["confusion"], strict=True)
            ]
        titles += [(name, metric_cell(name)) for name in ("precision", "recall", "f1")]
        about = "scores of each class"
        if "confusion" in report:
            about = (
                f"confusion matrix (rows: true class; columns: predicted class), and {about}"
                if len(classes) <= MAX_CLASSES
                else f"{about}; the confusion matrix of {len(classes)} classes is in --json"
            )
        print_line(f"{part}: {about}")
        print_table(wide_console(), titles, rows)
        if errors := report["errors"]:
            total = report.get("images") or sum(row["images"] for row in rows)
            more = f", the {MAX_ERRORS} most confident" if len(errors) > MAX_ERRORS else ", most confident first"
            print_line(f"{part}: {pluralize(len(errors), 'error')} of {total}{more}")
            cells: list[Column] = [(name, value_cell(name)) for name in ("image", "class", "predicted")]
            if "confusion" in report:
                cells.append(("predicted\nprobability", metric_cell("probability")))
            print_table(wide_console(), cells, errors[:MAX_ERRORS])


def _make_multi_label_report(evaluation: Evaluation, part: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return the scores of each class, and the images with a wrong class, by the run's thresholds or above 0.5."""
    predictions, names = evaluation.predictions[part], evaluation.images.get(part, ())
    thresholds = evaluation.thresholds or [DEFAULT_THRESHOLD] * len(classes)
    decided = decide_labels(predictions.probability, thresholds=thresholds)
    rows = []
    for name, row in zip(classes, count_decisions(decided, predictions.label), strict=True):
        true, predicted = row["found"] + row["missed"], row["found"] + row["false"]
        counts = {"class": name, "images": true, "rightly": row["found"], "wrongly": row["false"]}
        rows.append({**counts, **_scores(row["found"], true, predicted)})
    wrong = np.flatnonzero((decided != predictions.label).any(1))
    distance = np.abs(predictions.probability - predictions.label).max(1)
    labels, chosen = label_names(predictions.label, classes), label_names(decided, classes)
    errors = [
        {"image": names[place], "class": labels[place], "predicted": chosen[place]}
        for place in (wrong[np.argsort(-distance[wrong], kind="stable")].tolist() if names else ())
    ]
    return {"images": len(decided), "classes": rows, "errors": errors}


def _scores(correct: int, true: int, predicted: int) -> dict[str, float | None]:
    """Return precision, recall and F1 of a class; None where they are undefined."""
    return {
        "precision": correct / predicted if predicted else None,
        "recall": correct / true if true else None,
        "f1": 2 * correct / (true + predicted) if true + predicted else None,
    }


def _class_rows(matrix: NDArray[np.int64], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the number of images and the scores of each class."""
    rows = []
    for place, name in enumerate(classes):
        correct, true, predicted = (int(n) for n in (matrix[place, place], matrix[place].sum(), matrix[:, place].sum()))
        rows.append({"class": name, "images": true, **_scores(correct, true, predicted)})
    return rows


def _error_rows(predictions: Predictions, names: Sequence[str], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the misclassified images, the most confident first."""
    if not names:
        return []
    confidence, predicted = predictions.probability.max(1), predictions.probability.argmax(1)
    wrong = np.flatnonzero(~predictions.is_correct)
    return [
        {
            "image": names[place],
            "class": classes[predictions.label[place]],
            "predicted": classes[predicted[place]],
            "probability": float(confidence[place]),
        }
        for place in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist()
    ]
