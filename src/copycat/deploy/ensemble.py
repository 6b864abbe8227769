"""Evaluate several runs as one ensemble: the mean of their probabilities, on the same images or over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.deploy.calibration_rows import MetricRow
from copycat.deploy.ensemble_members import evaluate_members
from copycat.deploy.evaluation import ACCURACIES, Evaluation, evaluate_parts, metric_rows
from copycat.records.predictions import Predictions
from copycat.records.run_loader import Opened
from copycat.tables.comparison import unique_titles
from copycat.tables.statistics import mcnemar_p_value


@dataclass(frozen=True)
class MemberComparison:
    """Compare an ensemble with its best member."""

    part: str
    member: str
    ensemble_alone: int
    """Images that only the ensemble classifies correctly."""
    member_alone: int
    p: float
    """The p-value of McNemar's test."""


@dataclass(frozen=True)
class Ensemble:
    """Hold the evaluations of an ensemble and its members."""

    members: Mapping[str, Evaluation]
    """By name; only one where the runs are the folds of one configuration."""
    combined: Evaluation
    classes: Sequence[str]

    def rows(self) -> list[MetricRow]:
        """Return the accuracies of each member."""
        return [
            {"member": name, **row}
            for name, member in self.members.items()
            for part, predictions in member.predictions.items()
            for row in metric_rows(part, predictions)
            if row["metric"] in ACCURACIES
        ]

    def compare_with_best(self) -> list[MemberComparison]:
        """Compare the ensemble with its best member on each part; empty for one member."""
        return [self._compare(part) for part in self.combined.predictions] if len(self.members) > 1 else []

    def _compare(self, part: str) -> MemberComparison:
        is_correct = {name: member.predictions[part].is_correct for name, member in self.members.items()}
        best = max(is_correct, key=lambda name: int(is_correct[name].sum()))
        ours, theirs = self.combined.predictions[part].is_correct, is_correct[best]
        alone = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        return MemberComparison(part, best, *alone, mcnemar_p_value(*alone))


def evaluate_ensemble(
    runs: Sequence[Opened], overrides: Sequence[str], *, views: int = 1, calibrated: bool = True
) -> Ensemble:
    """Evaluate two or more completed runs together, on the data that overrides name, as `data=folder`.

    Without overrides it is on the images that all were validated on; where the runs are the folds of one split, each is
    evaluated on its own fold, and the folds form one part. Each member's probabilities are calibrated by
    its own calibration; thresholds and sets are of one run, and no ensemble's. For `views` and `calibrated` see
    `open_predictor`.

    Raises:
        UserError: where they were not validated on the same images, folds are missing, or classes differ.
    """
    classes = runs[0].manifest["data"]["classes"]
    for run in runs:
        if sorted(run.manifest["data"]["classes"]) != sorted(classes):
            got = one_of(run.manifest["data"]["classes"])
            raise UserError(f"{run.folder}: expected the classes of {runs[0].folder}, {one_of(classes)}; got {got}.")
    if overrides:
        named = zip(unique_titles([run.folder for run in runs]), runs, strict=True)
        asked = {"classes": classes, "views": views, "calibrated": calibrated}
        members = {name: evaluate_parts(run, overrides, **asked) for name, run in named}
    else:
        members = evaluate_members(runs, views=views, calibrated=calibrated)
    found = list(members.values())
    return Ensemble(members, found[0] if len(found) == 1 else _mean_evaluation(found), classes)


def _mean_evaluation(members: Sequence[Evaluation]) -> Evaluation:
    """Average probabilities on the parts that all members have; an image counts as trained on if any member used it."""
    parts = [part for part in members[0].predictions if all(part in member.predictions for member in members)]
    missing = members[0].missing  # equal for all members: they have the same images and classes
    predictions, trained = {}, {}
    for part in parts:
        label = members[0].predictions[part].label
        assert all((member.predictions[part].label == label).all() for member in members)
        mean = np.mean([member.predictions[part].probability for member in members], axis=0)
        predictions[part] = Predictions(label, mean)
        trained[part] = np.any([member.trained[part] for member in members], axis=0)
    return Evaluation(predictions, trained, missing, unreadable=members[0].unreadable)
