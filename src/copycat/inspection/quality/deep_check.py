"""Check all images of a data set, and list what deserves a look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from copycat.config.errors import UserError
from copycat.config.extras import install_command
from copycat.config.suggestions import first_line, pluralize
from copycat.data.datamodule import DataModule
from copycat.data.image_measures import ImageMeasures, measure_images
from copycat.data.labels import label_names
from copycat.data.near_duplicates import DuplicateGroups, find_near_duplicates
from copycat.data.pool import Pool, join_parts
from copycat.inspection.quality.features import center, compute_features, neighbor_distances, why_no_features
from copycat.inspection.quality.out_of_fold import Probabilities, make_folds, predict_by_head, predict_by_network
from copycat.inspection.quality.suspect_labels import SuspectLabels, find_suspect_labels

MAX_BLANK_DEVIATION, MAX_BLANK_ENTROPY = 10.0, 3.5
"""Largest deviation of gray values, of 255, and largest entropy, in bits, of a blank image."""
MAX_SCORE = 3.5
"""Modified z-score above which a value is an outlier; Iglewicz and Hoaglin 1993, How to Detect and Handle Outliers."""
MAX_ASPECT = 2.0
"""Ratio of the sides above which a square crop loses more than half of an image."""

SKIPPED = "Not looked for"
"""Start of the note of a check that was not made."""


@dataclass(frozen=True, kw_only=True)
class DeepCheck:
    """Hold everything that `copycat data check --deep` found; lists of indices in the pool, the worst first."""

    pool: Pool
    classes: Sequence[str]
    image_size: int
    """Shorter side of the images that a network gets, in pixels."""
    measures: ImageMeasures
    duplicates: DuplicateGroups
    labels: SuspectLabels | None
    distances: NDArray[np.float64] | None
    """Mean distance of each image to its nearest neighbors."""
    outliers: Sequence[int]
    blank: Sequence[int]
    blurred: Sequence[int]
    small: Sequence[int]
    """Images that are enlarged to `image_size`."""
    elongated: Sequence[int]
    notes: dict[str, str] = field(default_factory=dict)
    """By `duplicates`, `labels` and `outliers`: how they were found, or why they were not looked for."""

    @property
    def across(self) -> list[Sequence[int]]:
        """Return the groups of near-duplicates with images in several parts."""
        return [group for group in self.duplicates.groups if len({self.pool.parts[index] for index in group}) > 1]

    @property
    def within(self) -> list[Sequence[int]]:
        """Return the groups of near-duplicates inside one part."""
        return [group for group in self.duplicates.groups if len({self.pool.parts[index] for index in group}) == 1]

    def label(self, index: int) -> str:
        """Return the class of an image, or several joined by `;`."""
        return label_names(self.pool.images.labels[index : index + 1], self.classes)[0]


def check_deep(
    data: DataModule,
    *,
    predictions: Callable[[Pool], Probabilities] | None = None,
) -> DeepCheck:
    """Check a data set by perceptual hashes, features, predictions and measures of its images.

    Args:
        data: the parts; images that are decoded on demand stay so.
        predictions: returns out-of-fold probabilities; None: by a linear head on features of the packaged backbone,
            where that is installed, else by a small network.
    """
    pool = join_parts(data.parts)
    probabilities = None if predictions is None else predictions(pool)
    measures = measure_images(pool)
    notes: dict[str, str] = {}
    features = None
    if reason := why_no_features(data.image_shape[0]):
        notes["duplicates"] = f"By perceptual hash alone; by content {reason}."
        notes["outliers"] = f"{SKIPPED}: {reason}."
    else:
        features = compute_features(pool)
        notes["duplicates"] = "By perceptual hash, then by the features of the packaged backbone."
        notes["outliers"] = "Far from their nearest neighbors, by the features of the packaged backbone."
    centered = None if features is None else center(features)
    duplicates = find_near_duplicates(pool.images.digests, measures, centered)
    distances = None if centered is None else neighbor_distances(centered)
    try:
        labels, notes["labels"] = _check_labels(pool, duplicates, data.classes, features, probabilities)
    except UserError as reason:
        labels, notes["labels"] = None, f"{SKIPPED}: {first_line(reason)}."
    return DeepCheck(
        pool=pool,
        classes=data.classes,
        image_size=min(data.image_shape[1:]),
        measures=measures,
        duplicates=duplicates,
        labels=labels,
        distances=distances,
        outliers=[] if distances is None else _order(distances, modified_z_scores(distances) > MAX_SCORE, largest=True),
        notes=notes,
        **_check_measures(measures, min(data.image_shape[1:])),
    )


def _check_labels(
    pool: Pool,
    duplicates: DuplicateGroups,
    classes: Sequence[str],
    features: NDArray[np.float32] | None,
    probabilities: Probabilities | None,
) -> tuple[SuspectLabels, str]:
    """Return the labels' check, and how it was made.

    Raises:
        UserError: where it cannot be made.
    """
    if pool.images.is_multi_label:
        raise UserError("needs images of one class each; these may have several")
    if find_spec("cleanlab") is None:
        raise UserError(f"needs cleanlab: {install_command('quality')}")
    if probabilities is not None:
        how = "the predictions of recorded runs"
    elif features is not None:
        part = make_folds(pool, duplicates.groups, classes=len(classes))
        probabilities = predict_by_head(part, features, classes=len(classes))
        how = "a linear model of the packaged backbone's features, over folds"
    else:
        part = make_folds(pool, duplicates.groups, classes=len(classes))
        probabilities = predict_by_network(part, classes=classes)
        how = f"a small network trained on folds; the packaged backbone finds more: {install_command('pretrained')}"
    labels = find_suspect_labels(pool.images.labels.numpy(), probabilities)
    wrong = pluralize(labels.estimate, "wrong label")
    return labels, f"Predicted as another class by {how}. cleanlab estimates {wrong} in the whole set."


def _check_measures(measures: ImageMeasures, image_size: int) -> dict[str, list[int]]:
    is_blank = (measures.deviation < MAX_BLANK_DEVIATION) & (measures.entropy < MAX_BLANK_ENTROPY)
    with np.errstate(divide="ignore"):
        sharpness = np.log(np.where(is_blank, np.nan, measures.sharpness))
    is_blurred = np.nan_to_num(modified_z_scores(sharpness), nan=0.0) < -MAX_SCORE
    longest = np.maximum(measures.aspect, 1 / measures.aspect)
    shortest = np.minimum(measures.width, measures.height)
    return {
        "blank": _order(measures.deviation, is_blank),
        "blurred": _order(measures.sharpness, is_blurred),
        "small": _order(shortest, shortest < image_size),
        "elongated": _order(longest, longest > MAX_ASPECT, largest=True),
    }


def modified_z_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far values lie from their median, in robust standard deviations; nan stays, and counts for nothing."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros_like(values)
    median = np.median(known)
    spread = np.median(np.abs(known - median))
    scores: NDArray[np.float64] = 0.6745 * (values - median) / max(float(spread), np.finfo(float).tiny)
    return scores


def _order(values: NDArray[np.number], chosen: NDArray[np.bool_], *, largest: bool = False) -> list[int]:
    """Return the chosen indices, the smallest value first, or the largest."""
    order = np.argsort(-values if largest else values, kind="stable")
    return [int(index) for index in order if chosen[index]]
