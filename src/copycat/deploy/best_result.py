"""Read the result of a search for the best model: its figures by nested cross-validation, and its model."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.config.extras import install_command
from copycat.inspection.quality.suspect_labels import SuspectLabels, find_suspect_labels
from copycat.records.predictions import Predictions
from copycat.records.run_folder import SEARCH_TABLE
from copycat.records.run_loader import Opened, open_run
from copycat.sweeps.best.division import ALL_IMAGES, HELD_OUT, final_column, search_column
from copycat.sweeps.best.record import SearchRecord, read_search
from copycat.sweeps.best.selection import pool_folds, rank
from copycat.tables.run_reader import RunRecord, read_trials
from copycat.tables.statistics import wilson_interval


@dataclass(frozen=True)
class Measured:
    """Hold predictions on images that neither trained nor chose the model that predicts them."""

    predictions: Predictions
    rows: NDArray[np.int64]
    """Row in the table of each image."""
    folds: int
    """Outer folds that they are of; 0 where they are of the images that chose the model."""


@dataclass(frozen=True)
class BestResult:
    """Hold the result of a search, as far as it was run."""

    sweep: Path
    search: SearchRecord
    name: str
    """Candidate that was chosen, or that is the best so far."""
    run: Opened
    """Its run: on all images, or where there is none so far on those of its first training."""
    is_final: bool
    """Whether it was trained on all images."""
    table: Sequence[dict[str, str]]
    """Rows of the table of images."""
    measured: Measured | None
    """None where no selection has ended."""
    failed: RunRecord | None = None
    """The training on all images that failed: the model's, or that of another of its ensemble."""

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes, by label."""
        return list(self.run.manifest["data"]["classes"])

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Return the accuracy and its 95 % interval."""
        assert self.measured is not None
        right = self.measured.predictions.is_correct
        groups = [self.table[row]["group"] for row in self.measured.rows]
        return float(right.mean()), *clustered_interval(right, groups)

    @property
    def baseline(self) -> tuple[str, float]:
        """Return the most frequent class, and its share."""
        labels = Counter(row["label"] for row in self.table if row[HELD_OUT] == "0")
        name, count = labels.most_common(1)[0]
        return name, count / sum(labels.values())

    @property
    def names(self) -> list[str]:
        """Return the paths of the measured images."""
        return [] if self.measured is None else [self.table[row]["path"] for row in self.measured.rows]

    def find_suspects(self) -> SuspectLabels:
        """Rank the labels by the measured predictions.

        Raises:
            UserError: where cleanlab is not installed, or nothing is measured yet.
        """
        if self.measured is None:
            raise UserError("nothing is measured yet")
        if find_spec("cleanlab") is None:
            raise UserError(f"needs cleanlab: {install_command('quality')}")
        return find_suspect_labels(self.measured.predictions.label, self.measured.predictions.probability)

    def describe_image(self, place: int) -> str:
        """Describe the class and the prediction of a measured image."""
        assert self.measured is not None
        label, probability = self.measured.predictions.label[place], self.measured.predictions.probability[place]
        predicted = int(probability.argmax())
        return f"{self.classes[int(label)]}, predicted {self.classes[predicted]} ({probability[predicted]:.2f})"

    def test(self) -> dict[str, Any]:
        """Return the metrics on the test part; empty without one."""
        final = self.run.manifest["results"].get("final", {}) if self.is_final and self.search.plan.has_test else {}
        return {name: value for name, value in final.items() if name.startswith("test/")}


def clustered_interval(right: NDArray[np.bool_], groups: Sequence[str]) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, of as many independent images as the groups are worth.

    Images of one group are alike: the variance of the share is that of sums over groups.

    Source: Rao, Scott 1992, Biometrics 48, 577 (effective sample sizes of clustered proportions).
    """
    share, count = float(right.mean()), len(right)
    _, group = np.unique(np.array(groups), return_inverse=True)
    sums = np.bincount(group, weights=right - share)
    independent = share * (1 - share) / count
    clustered = float((sums**2).sum()) / count**2
    effect = max(1.0, clustered / independent) if independent else len(right) / (group.max() + 1)
    return wilson_interval(share, max(1, round(count / effect)))


def read_result(sweep: Path) -> BestResult | None:
    """Read the result of a search; None where it has no trained model yet."""
    search = read_search(sweep)
    with (sweep / SEARCH_TABLE).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    models = {record.trial.number: record for record in read_trials(sweep) if record.trial is not None}
    final = models[0] if 0 in models and models[0].status == "completed" else None
    failed = next((record for record in models.values() if record.status == "failed"), None)
    best = _find_best(search) if final is None or search.model is None else (search.model, final)
    if best is None:
        return None
    name, record = best
    measured, is_final = _measure(search, table), final is not None
    return BestResult(sweep, search, name, open_run(record.folder), is_final, table, measured, failed)


def _find_best(search: SearchRecord) -> tuple[str, RunRecord] | None:
    """Return the best candidate so far, and the run of its first training."""
    first = {name: {0: folds[0]} for name, folds in search.selections[ALL_IMAGES].folds.items() if 0 in folds}
    if not first:
        return None
    name = search.model or rank(first)[0]
    return name, search.trainings[search.plan.number(ALL_IMAGES, name, 0)]


def _measure(search: SearchRecord, table: Sequence[dict[str, str]]) -> Measured | None:
    """Join the predictions on outer folds; without any, those on the inner folds of the selection on all images."""
    parts: list[tuple[Predictions, NDArray[np.int64]]] = []
    for number in search.measured:
        final = search.selections[number].final
        assert final is not None
        parts.append((final, _rows(table, final_column(number), "test")))
    if not parts:
        first = search.selections[ALL_IMAGES]
        folds = first.folds[first.ranked[0]] if first.ranked else {}
        parts = [(folds[fold], _rows(table, search_column(ALL_IMAGES, fold), "val")) for fold in sorted(folds)]
    if not parts:
        return None
    predictions = pool_folds(dict(enumerate(part for part, _ in parts)))
    rows = np.concatenate([rows for _, rows in parts])
    return Measured(predictions, rows, len(search.measured))


def _rows(table: Sequence[dict[str, str]], column: str, part: str) -> NDArray[np.int64]:
    """Return the rows of a part, in the order in which runs predict them."""
    return np.array([place for place, row in enumerate(table) if row[column] == part and row[HELD_OUT] == "0"])
