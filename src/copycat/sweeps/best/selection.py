"""Compare candidates by their predictions on the inner folds of a selection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from copycat.records.predictions import Predictions
from copycat.tables.statistics import mcnemar_p_value

LEVEL = 0.05
"""Level of the tests by which candidates leave, and ensembles are accepted."""
MAX_REMAINING = 3
"""Candidates that are compared on all inner folds, at most."""
Folds = Mapping[int, Predictions]
"""Predictions of a candidate on the validation images of inner folds."""


@dataclass(frozen=True)
class Score:
    """Rank a candidate."""

    accuracy: float
    loss: float
    """Mean negative log-likelihood of the true classes, in nats."""

    @property
    def key(self) -> tuple[float, float]:
        """Return a key by which the best comes first."""
        return -self.accuracy, self.loss


@dataclass(frozen=True)
class EnsembleGain:
    """Hold an ensemble that is better than the best candidate alone."""

    members: Sequence[str]
    accuracy: float
    alone: float
    """Accuracy of the best candidate."""
    p: float
    """The p-value of McNemar's test."""


def pool_folds(folds: Folds) -> Predictions:
    """Join the predictions of several folds."""
    each = [folds[fold] for fold in sorted(folds)]
    return Predictions(np.concatenate([one.label for one in each]), np.concatenate([one.probability for one in each]))


def score(predictions: Predictions) -> Score:
    """Score predictions."""
    own = predictions.probability[np.arange(len(predictions.label)), predictions.label].astype(np.float64)
    return Score(float(predictions.is_correct.mean()), float(-np.log(np.maximum(own, 1e-12)).mean()))


def rank(candidates: Mapping[str, Folds]) -> list[str]:
    """Return the names of candidates that predicted the same folds, the best first."""
    return sorted(candidates, key=lambda name: score(pool_folds(candidates[name])).key)


def find_remaining(first: Mapping[str, Predictions]) -> list[str]:
    """Return the candidates that stay after the first fold, the best first.

    Those stay that McNemar's test does not find worse than the best, `MAX_REMAINING` of them at most.
    """
    ranked = sorted(first, key=lambda name: score(first[name]).key)
    stay = [name for name in ranked if _p_value(first[ranked[0]], first[name]) >= LEVEL or name == ranked[0]]
    return stay[:MAX_REMAINING]


def find_ensemble(candidates: Mapping[str, Folds]) -> EnsembleGain | None:
    """Return the best ensemble with the best candidate, where it is proved to be better than that alone.

    Each mean of its probabilities with those of others is tested by McNemar's test, at a level that all tests share.
    """
    first, *others = rank(candidates)
    alone = pool_folds(candidates[first])
    found: list[EnsembleGain] = []
    teams = [team for size in range(1, len(others) + 1) for team in combinations(others, size)]
    for team in teams:
        members = [pool_folds(candidates[name]).probability for name in (first, *team)]
        together = Predictions(alone.label, np.mean(members, axis=0))
        p = _p_value(together, alone)
        gain = EnsembleGain((first, *team), score(together).accuracy, score(alone).accuracy, p)
        if gain.accuracy > gain.alone and p < LEVEL / len(teams):
            found.append(gain)
    return max(found, key=lambda gain: gain.accuracy, default=None)


def _p_value(one: Predictions, other: Predictions) -> float:
    assert (one.label == other.label).all(), "candidates have the same folds"
    first, second = one.is_correct, other.is_correct
    return mcnemar_p_value(int((first & ~second).sum()), int((second & ~first).sum()))
