"""Evaluate a run's final weights on labeled images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.data.labels import count_classes
from copycat.data.split import Part
from copycat.deploy.calibration_rows import MetricRow, Recheck
from copycat.deploy.calibration_sample import calibration_digests
from copycat.deploy.decision import DEFAULT_THRESHOLD
from copycat.deploy.evaluated_parts import iterate_images, name_changes, read_parts
from copycat.deploy.label_thresholds import measure_decisions
from copycat.deploy.predictor import Decisions, Predictor, open_predictor
from copycat.inspection.reports.intervals import bootstrap
from copycat.models.added_metrics import AddedMetric, build_added_metrics, compute_all
from copycat.records.calibration_file import Calibration, read_calibration
from copycat.records.image_index import read_images, training_digests
from copycat.records.predictions import Predictions, find_training_copies, read_predictions
from copycat.records.run_loader import Opened
from copycat.tables.exact_intervals import clopper_pearson
from copycat.tables.statistics import wilson_interval

ROUNDING = 0.01
"""Difference of two probabilities that another device or thread count may make, at most."""
ACCURACIES = ("accuracy", "balanced_accuracy")
"""Metrics that are also reported without images trained on, and for each member of an ensemble."""


@dataclass(frozen=True)
class Evaluation:
    """Hold predictions by part."""

    predictions: Mapping[str, Predictions]
    trained: Mapping[str, NDArray[np.bool_]]
    """[N]: whether images.csv lists an image among the training images too."""
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Classes without images in a part, for data other than the run's own."""
    images: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the images of a part, where they are known."""
    rechecks: Mapping[str, Recheck] = field(default_factory=dict)
    """Decisions of a calibrated run on a part that it did not train on."""
    classes: Sequence[str] = ()
    """Names by label, where there are rechecks."""
    added: Sequence[AddedMetric] = ()
    """Metrics of the run's group `metrics`."""
    thresholds: Sequence[float] | None = None
    """Those of a calibrated run whose images may have several classes, in the order of the classes."""
    unreadable: str = ""
    """Line on images that were left out; empty where there are none."""
    changed: str = ""
    """Line on images of the run's own data that are others than it recorded; empty where there are none."""
    differing: str = ""
    """Line on probabilities of the same images that are others than the run recorded; empty where there are none."""

    def rows(self) -> list[MetricRow]:
        """Return each metric of each part, with its 95 % interval.

        A part that shares images with the training part also has accuracies without these. A calibrated run has figures
        of its probabilities and decisions too.
        """
        return [row for part in self.predictions for row in self._rows(part)]

    def _rows(self, part: str) -> Iterator[MetricRow]:
        predictions, is_new = self.predictions[part], ~self.trained[part]
        yield from metric_rows(part, predictions, present_only=bool(self.missing.get(part)), added=self.added)
        if predictions.is_multi_label:
            yield from self._decision_rows(part, predictions)
        elif part != "train" and is_new.any() and not is_new.all():
            rows = metric_rows(f"{part}, not in train", predictions[is_new])
            yield from (row for row in rows if row["metric"] in ACCURACIES)
        if part in self.rechecks:
            measured = {name for metric in self.added for name in metric.columns}  # the group may have an `ece` too
            rows = self.rechecks[part].rows(part, predictions, self.classes)
            yield from (row for row in rows if row["part"] != part or row["metric"] not in measured)

    def _decision_rows(self, part: str, predictions: Predictions) -> Iterator[MetricRow]:
        """Yield the exact match above 0.5, where no metric of the run measures it."""
        measured = {name for metric in self.added for name in metric.columns}
        rows = measure_decisions(part, predictions.probability > DEFAULT_THRESHOLD, predictions.label)
        yield from (row for row in rows if row["metric"] in {"exact_match"} - measured)


def metric_rows(
    part: str, predictions: Predictions, *, present_only: bool = False, added: Sequence[AddedMetric] = ()
) -> Iterator[MetricRow]:
    """Yield each metric with its 95 % interval: Wilson's for accuracy, bootstrap for others.

    Where images may have several classes: Clopper-Pearson's for `exact_match`, bootstrap for others.
    `added` metrics are left out where a class has no image (`present_only`).
    """
    probability, label, images = predictions.probability.astype(np.float64), predictions.label, len(predictions.label)
    added = () if present_only else added
    intervals = bootstrap(probability, label, present_only=present_only, added=added)
    values = compute_all(added, torch.from_numpy(probability), torch.from_numpy(label))
    defined = {name: value for name, value in values.items() if value == value}
    for metric, value in {**predictions.scores(present_only=present_only), **defined}.items():
        low, high = intervals.get(metric, (None, None))
        if predictions.is_multi_label and metric == "exact_match":  # a metric of the run
            low, high = clopper_pearson(round(value * images), images)
        elif metric == "accuracy" and not predictions.is_multi_label:
            low, high = wilson_interval(value, images)
        yield {"part": part, "images": images, "metric": metric, "value": value, "low": low, "high": high}


def evaluate_parts(
    opened: Opened,
    overrides: Sequence[str],
    *,
    classes: Sequence[str] | None = None,
    views: int = 1,
    calibrated: bool = True,
) -> Evaluation:
    """Evaluate a completed run on its own data, or on those that overrides name, as `data=folder`.

    Overrides of keys of `data` alone, as `data.root`, change the run's own data.

    All parts are evaluated, whatever split the run was trained with. Probabilities are in the order of `classes`, by
    default the run's; for `views` and `calibrated` see `open_predictor`.

    Raises:
        UserError: where the run cannot predict, the data cannot be read, or its classes differ from the run's.
    """
    with open_predictor(opened, views=views, calibrated=calibrated) as predictor:
        order = list(classes or predictor.classes)
        order_of_run = torch.tensor([order.index(name) for name in predictor.classes])
        predictions, trained, missing, images, rechecks = {}, {}, {}, {}, dict[str, Recheck]()
        records = read_images(opened.folder) or []
        trained_digests, used = training_digests(records), calibration_digests(records, predictor.calibration)
        parts = read_parts(opened, overrides, predictor)
        for name, (part, labels) in parts.items():
            probability = torch.cat([predictor(batch) for batch in _batches(part, predictor)]).float()
            places = order_of_run.argsort()
            label = labels[:, places] if part.is_multi_label else order_of_run[labels]
            predictions[name] = Predictions(label.numpy(), probability[:, places].numpy())
            images[name] = part.names
            trained[name] = np.array([digest in trained_digests for digest in part.digests])
            if predictor.calibration and order == list(predictor.classes) and (overrides or name != "train"):
                is_used = np.array([digest in used for digest in part.digests])
                rechecks[name] = Recheck(predictor.calibration, predictor.decide(probability), is_used)
            if overrides:
                counts = count_classes(labels, len(predictor.classes))
                missing[name] = [other for other, count in zip(predictor.classes, counts, strict=True) if not count]
        added = build_added_metrics(opened.config, order, multi_label=predictor.is_multi_label)
        thresholds = _order_thresholds(predictor, order)
    unreadable = sorted({line for part, _ in parts.values() for line in part.unreadable})
    changed = "" if overrides else name_changes(records, parts)
    is_as_recorded = views == 1 and predictor.calibration is None and order == list(predictor.classes)
    return Evaluation(
        predictions,
        trained,
        missing,
        images,
        rechecks,
        order,
        added,
        thresholds,
        unreadable=f"{len(unreadable)} unreadable, left out: {unreadable[0]}" if unreadable else "",
        changed=changed,
        differing=_name_differences(opened, predictions) if is_as_recorded and not (overrides or changed) else "",
    )


def _name_differences(opened: Opened, found: Mapping[str, Predictions]) -> str:
    """Describe how far probabilities are from those that the trained network gave; empty where it is by rounding."""
    recorded: Mapping[str, Predictions] = {}
    with suppress(UserError):  # damaged: the metrics are those of the network, not of the file
        recorded = read_predictions(opened.folder, classes=len(opened.manifest["data"]["classes"]))
    parts = [name for name in recorded if name in found]
    largest = {name: float(np.abs(found[name].probability - recorded[name].probability).max()) for name in parts}
    over = {name: value for name, value in largest.items() if value > ROUNDING}
    if not over:
        return ""
    listed = one_of([f"{value:.2f} on {name}" for name, value in over.items()])
    return (
        f"the network gives other probabilities than it gave when it was trained, by up to {listed}: its code changed,"
        " it depends on the other images of a batch, or it keeps state that state_dict() lacks"
    )


def _order_thresholds(predictor: Predictor, order: Sequence[str]) -> Sequence[float] | None:
    """Return a calibrated run's thresholds in the order of the classes; None of one without."""
    found = None if predictor.calibration is None else predictor.calibration.thresholds
    return None if found is None else [found[predictor.classes.index(name)] for name in order]


def recorded_evaluation(opened: Opened, *, views: int = 1, calibrated: bool = True) -> Evaluation:
    """Return a run's recorded predictions on its own validation and test images, calibrated where the run is.

    They come from predictions.csv; where that is missing, `views` is above 1, or a probability that a temperature
    scales was rounded to 0, the network predicts again.

    Raises:
        UserError: where the predictions are damaged, the run cannot predict, or its images changed since.
    """
    classes = len(opened.manifest["data"]["classes"])
    predictions = read_predictions(opened.folder, classes=classes)
    calibration = read_calibration(opened.folder, classes=classes) if calibrated else None
    thresholds = None if calibration is None else calibration.thresholds
    is_rounded = (
        calibration is not None
        and thresholds is None
        and any((each.probability == 0).any() for each in predictions.values())
    )
    if not predictions or views > 1 or is_rounded:
        evaluation = evaluate_parts(opened, [], views=views, calibrated=calibrated)
        if evaluation.changed:
            raise UserError(f"{opened.folder}: expected its own images; {evaluation.changed}. Put them back.")
        predictions = {part: each for part, each in evaluation.predictions.items() if part != "train"}
        return replace(evaluation, predictions=predictions, images={})
    copies = find_training_copies(opened.folder, predictions)
    trained = {part: copies.get(part, np.zeros(len(each.label), bool)) for part, each in predictions.items()}
    if calibration is None:
        return Evaluation(predictions, trained)
    if thresholds is None:
        predictions = {part: each.at_temperature(calibration.temperature) for part, each in predictions.items()}
    rechecks = {part: _recheck(opened, part, each, calibration) for part, each in predictions.items()}
    names = opened.manifest["data"]["classes"]
    return Evaluation(predictions, trained, rechecks=rechecks, classes=names, thresholds=thresholds)


def _recheck(opened: Opened, part: str, predictions: Predictions, calibration: Calibration) -> Recheck:
    """Return the decisions for the images of a part that images.csv lists."""
    records = read_images(opened.folder) or []
    used = calibration_digests(records, calibration)
    is_used = np.array([image.digest in used for image in records if image.part == part])
    if len(is_used) != len(predictions.label):
        is_used = np.full(len(predictions.label), part == "val")
    decisions = Decisions.of(predictions.probability, calibration, multi_label=predictions.is_multi_label)
    return Recheck(calibration, decisions, is_used)


def _batches(part: Part, predictor: Predictor) -> Iterator[Tensor]:
    shape = tuple(part.images.shape[1:])
    if shape != (3, predictor.size, predictor.size):
        raise UserError(
            f"data: expected images of 3×{predictor.size}×{predictor.size}, as the run's;"
            f" got {'×'.join(map(str, shape))}."
        )
    return iterate_images(part)
