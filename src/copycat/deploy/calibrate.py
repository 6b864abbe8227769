"""Calibrate runs: fit a temperature, thresholds and conformal sets, check them, and store them beside the weights."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from copycat.config.errors import UserError
from copycat.deploy.calibration_fit import Fit, fit
from copycat.deploy.calibration_plan import Plan
from copycat.deploy.calibration_request import CalibrationRequest, check_enough
from copycat.deploy.calibration_rows import MetricRow, measure
from copycat.deploy.calibration_sample import Sample
from copycat.deploy.decision import DEFAULT_THRESHOLD, decide, make_sets
from copycat.deploy.label_thresholds import cross_fit, fit_thresholds, measure_decisions
from copycat.deploy.predictor import Decisions
from copycat.models.temperature import scaled_probabilities
from copycat.records.calibration_file import Calibration, read_calibration, write_calibration
from copycat.records.digests import digest_file
from copycat.records.predictions import Predictions
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import read_weights


@dataclass(frozen=True)
class Check:
    """Hold figures of each group of images by a fit on the others."""

    before: Sequence[MetricRow]
    after: Sequence[MetricRow]
    coverages: Sequence[float] = ()
    """Of the sets, group by group; none without sets."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Hold a calibration that was written, and the figures by which it was checked."""

    plan: Plan
    fitted: Fit
    sample: Sample
    check: Check
    is_checked: bool
    """Whether the groups have images enough for the coverage or the recall."""
    replaced: Calibration | None = None
    """The calibration that a run had before."""

    def rows(self) -> list[dict[str, Any]]:
        """Return each figure before and after, with the 95 % interval after."""
        before = {row["metric"]: row["value"] for row in self.check.before}
        return [
            {
                "metric": row["metric"],
                "images": row["images"],
                "before": before.get(row["metric"]),
                "after": row["value"],
                "low": row["low"],
                "high": row["high"],
            }
            for row in self.check.after
        ]


def calibrate(plan: Plan, request: CalibrationRequest) -> Calibrated:
    """Fit a calibration, check it by groups of its images, and write calibration.json into each of its runs.

    Raises:
        UserError: where a run cannot predict, predictions cannot be read, there are too few images, or a folder cannot
            be written to.
    """
    for run in plan.runs:
        read_weights(run.folder / WEIGHTS, run)  # refuses damaged weights
    sample = plan.read_sample()
    if sample.label.ndim == 2:
        return _calibrate_thresholds(plan, sample)
    of = {"out of fold": "out of fold", "validation": "in the validation part"}.get(sample.fitted_on, "in half of them")
    check_enough(request.coverage, request.names["coverage"], len(sample.label), of)
    positives = int((sample.label == request.positive).sum())
    check_enough(request.recall, request.names["recall"], positives, f"of {plan.classes[request.positive]} {of}")
    fitted = fit(sample.logits, sample.label, request)
    assert fitted is not None, "there are enough images"
    checked = _cross_check(sample, request, plan.classes)
    is_checked = checked is not None
    if checked is None:  # a temperature and costs take no number of images
        checked = _cross_check(sample, replace(request, coverage=None, recall=None), plan.classes) or Check((), ())
    figures = {row["metric"]: row["value"] for row in checked.after}
    figures |= {f"{row['metric']}_before": row["value"] for row in checked.before}
    replaced = _write(plan, sample, fitted, figures)
    return Calibrated(plan=plan, fitted=fitted, sample=sample, check=checked, is_checked=is_checked, replaced=replaced)


def _calibrate_thresholds(plan: Plan, sample: Sample) -> Calibrated:
    """Fit a threshold for each class, where images may have several."""
    probability = np.exp(sample.logits)
    thresholds = fit_thresholds(probability, sample.label)
    fitted = Fit(temperature=1.0, is_separable=False, decision={"thresholds": thresholds})
    before = list(measure_decisions("", probability > DEFAULT_THRESHOLD, sample.label))
    after = list(measure_decisions("", cross_fit(sample), sample.label))
    figures = {row["metric"]: row["value"] for row in after}
    figures |= {f"{row['metric']}_before": row["value"] for row in before}
    replaced = _write(plan, sample, fitted, figures)
    check = Check(before, after)
    return Calibrated(plan=plan, fitted=fitted, sample=sample, check=check, is_checked=True, replaced=replaced)


def _write(plan: Plan, sample: Sample, fitted: Fit, figures: dict[str, float]) -> Calibration | None:
    """Write the calibration of each run, and return the last one that was there before."""
    replaced = None
    for run in plan.runs:
        with suppress(UserError):  # a damaged one, or one of other weights
            replaced = read_calibration(run.folder, classes=len(plan.classes)) or replaced
        calibration = Calibration(
            weights=digest_file(run.folder / WEIGHTS),
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            fitted_on=sample.fitted_on,
            images=len(sample.label),
            temperature=fitted.temperature,
            checked=figures,
            **fitted.decision,
        )
        try:
            write_calibration(run.folder, calibration)
        except OSError as error:
            raise UserError(f"{run.folder}: expected a folder to write to; {error.strerror}.") from error
    return replaced


def _cross_check(sample: Sample, request: CalibrationRequest, classes: Sequence[str]) -> Check | None:
    """Measure each group by a fit on the others, before and after; None where the others are too few."""
    probability = np.zeros_like(sample.logits)
    labels, sets = np.zeros_like(sample.label), np.zeros(sample.logits.shape, dtype=bool)
    rule: dict[str, Any] = {}
    for group in np.unique(sample.group):
        inside = sample.group == group
        others = sample[~inside]
        found = fit(others.logits, others.label, request) if len(others.label) else None
        if found is None:
            return None
        rule = found.decision
        probability[inside] = scaled_probabilities(sample.logits[inside], found.temperature)
        labels[inside] = decide(probability[inside], **rule)
        kept = make_sets(probability[inside], **rule)
        sets[inside] = False if kept is None else kept
    uncalibrated = Predictions(sample.label, scaled_probabilities(sample.logits, 1.0))
    by_argmax = Decisions(uncalibrated.probability.argmax(1))
    decisions = Decisions(labels, sets if request.coverage is not None else None)
    before = measure("", uncalibrated, by_argmax, rule, classes)
    after = measure("", Predictions(sample.label, probability), decisions, rule, classes)
    is_covered = sets[np.arange(len(sample.label)), sample.label]
    coverages = [float(is_covered[sample.group == group].mean()) for group in np.unique(sample.group)]
    return Check(list(before), list(after), coverages if request.coverage is not None else ())
