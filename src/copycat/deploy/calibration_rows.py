"""Measure calibrated probabilities and the decisions by them, with 95 % intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.deploy.label_thresholds import measure_decisions
from copycat.deploy.predictor import Decisions
from copycat.inspection.calibration_error import calibration_error
from copycat.records.calibration_file import Calibration
from copycat.records.predictions import Predictions
from copycat.tables.exact_intervals import clopper_pearson, covered_interval
from copycat.tables.statistics import mean_interval

MetricRow = dict[str, Any]
INTERVAL_NOTE = (
    "nll, set_size, cost: interval of the mean by Student's t; coverage, not_sure, recall and precision of a class:"
    " exact, by Clopper-Pearson; ece: none"
)
_TINY = 1e-38
"""Probabilities below are taken for it: nll stays finite."""


@dataclass(frozen=True)
class Recheck:
    """Hold the decisions for the images of a part."""

    calibration: Calibration
    decisions: Decisions
    used: NDArray[np.bool_]
    """[N]: whether the calibration was fitted on an image."""

    @property
    def new(self) -> NDArray[np.bool_]:
        """Return the images to measure on, as a mask [N]: those that are new to the calibration, or all."""
        return np.ones_like(self.used) if self.used.all() else ~self.used

    def rows(self, part: str, predictions: Predictions, classes: Sequence[str]) -> Iterator[MetricRow]:
        """Yield the figures of a part; without images that the calibration was fitted on, where others are left."""
        new, sets = self.new, self.decisions.sets
        name = part if new.all() else f"{part}, not calibrated on"
        decisions = Decisions(self.decisions.labels[new], None if sets is None else sets[new])
        if self.calibration.thresholds is not None:
            rows = measure_decisions(name, decisions.labels.astype(bool), predictions.label[new])
            yield from ({**row, "metric": f"{row['metric']} at thresholds"} for row in rows)
            return
        rule = self.calibration.decision()
        yield from measure(name, predictions[new], decisions, rule, classes)

    def note(self, part: str, coverage: float | None) -> str:
        """Describe the reliability of the figures of a part."""
        made = self.calibration
        if self.used.all():
            figures = "nll, ece and coverage" if made.thresholds is None else "figures at thresholds"
            return f"{part}: the calibration was fitted on these images: {figures} are optimistic"
        if made.rank is None or coverage is None:
            return ""
        images = int(self.new.sum())
        low, high = covered_interval(made.rank, made.images, images)
        more = "above (the most probable class alone is right more often)"
        verdict = "below" if coverage < low else more if coverage > high else "within"
        return (
            f"{part}: coverage {coverage:.2f}, {verdict} the {low:.2f} to {high:.2f} expected of {images} new images:"
            f" 95 % beta-binomial interval for sets of coverage {made.coverage:g}, calibrated on {made.images} images"
        )


def pool_rechecks(folds: Sequence[Recheck]) -> Recheck | None:
    """Join the decisions of the folds of one calibration; None where theirs differ, or there are none."""
    rules = [(fold.calibration.temperature, fold.calibration.decision()) for fold in folds]
    if not folds or any(rule != rules[0] for rule in rules):
        return None
    sets = [fold.decisions.sets for fold in folds if fold.decisions.sets is not None]
    labels = np.concatenate([fold.decisions.labels for fold in folds])
    decisions = Decisions(labels, np.concatenate(sets) if sets else None)
    return Recheck(folds[0].calibration, decisions, np.concatenate([fold.used for fold in folds]))


def measure(
    part: str, predictions: Predictions, decisions: Decisions, rule: Mapping[str, Any], classes: Sequence[str]
) -> Iterator[MetricRow]:
    """Yield negative log likelihood, calibration error, and what the decisions by a rule come to."""
    label, probability = predictions.label, predictions.probability
    images = np.arange(len(label))

    def row(metric: str, value: float, interval: tuple[float, float] | None, count: int | None = None) -> MetricRow:
        low, high = interval or (None, None)
        shown = len(label) if count is None else count
        return {"part": part, "images": shown, "metric": metric, "value": value, "low": low, "high": high}

    def mean(metric: str, values: NDArray[np.floating]) -> MetricRow:
        interval = mean_interval(values.tolist())
        return row(metric, float(values.mean()), interval and (max(0.0, interval[0]), interval[1]))

    def share(metric: str, right: NDArray[np.bool_]) -> MetricRow:
        return row(metric, float(right.mean()), clopper_pearson(int(right.sum()), len(right)), len(right))

    yield mean("nll", -np.log(np.maximum(probability[images, label], _TINY)))
    yield row("ece", calibration_error(torch.from_numpy(probability).float(), torch.from_numpy(label)), None)
    if "costs" in rule:
        yield mean("cost", np.asarray(rule["costs"], dtype=np.float64)[label, decisions.labels])
    if "positive" in rule:
        is_positive, predicted = label == rule["positive"], decisions.labels == rule["positive"]
        name = classes[rule["positive"]]
        if is_positive.any():
            yield share(f"recall of {name}", predicted[is_positive])
        if predicted.any():
            yield share(f"precision of {name}", is_positive[predicted])
    if decisions.sets is not None:
        sizes = decisions.sets.sum(1)
        yield share("coverage", decisions.sets[images, label])
        yield mean("set_size", sizes)
        yield share("not_sure", sizes > 1)
