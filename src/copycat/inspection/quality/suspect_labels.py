"""Rank labels by how little the predictions of other images' models support them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from copycat.inspection.quality.out_of_fold import Probabilities


@dataclass(frozen=True)
class SuspectLabels:
    """Hold the quality of all labels, and those that are probably wrong."""

    quality: NDArray[np.float64]
    """Predicted probability of each label; nan without a prediction."""
    predicted: NDArray[np.int64]
    """Most probable class of each image."""
    ranked: Sequence[int]
    """Images with a prediction, the most suspect label first."""
    suspects: Sequence[int]
    """Those of another class than predicted, the most suspect first."""
    estimate: int
    """Number of wrong labels, by confident learning."""


def find_suspect_labels(labels: NDArray[np.int64], probabilities: Probabilities) -> SuspectLabels:
    """Rank labels by their predicted probability, and estimate how many are wrong.

    Source: Northcutt et al. 2021, Confident Learning, by its authors' package cleanlab.
    """
    from cleanlab.count import num_label_issues
    from cleanlab.rank import get_label_quality_scores

    known = np.flatnonzero(np.isfinite(probabilities).all(1))
    present, given = np.unique(labels[known], return_inverse=True)  # cleanlab wants an image of each class
    of_present = probabilities[known][:, present]
    of_present = of_present / np.maximum(of_present.sum(1, keepdims=True), np.finfo(float).tiny)
    quality = np.full(len(labels), np.nan)
    quality[known] = get_label_quality_scores(given, of_present, method="self_confidence")
    estimate = int(num_label_issues(given, of_present)) if len(present) > 1 else 0
    ranked = [int(index) for index in known[np.argsort(quality[known], kind="stable")]]
    predicted = np.full(len(labels), -1)
    predicted[known] = probabilities[known].argmax(1)
    return SuspectLabels(quality, predicted, ranked, [i for i in ranked if predicted[i] != labels[i]], estimate)
