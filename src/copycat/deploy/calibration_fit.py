"""Fit a calibration: temperature, the threshold for a recall, and the quantile of conformal sets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from copycat.deploy.calibration_request import CalibrationRequest
from copycat.deploy.conformal_rank import conformal_rank
from copycat.deploy.decision import score_classes
from copycat.models.temperature import Doubles, fit_temperature, scaled_probabilities


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Hold the fitted parameters."""

    temperature: float
    is_separable: bool
    """Whether every image is classified correctly, so that the temperature stays 1."""
    decision: dict[str, Any]
    """Fields of a `Calibration`, which `deploy.decision` decides by."""


def fit(logits: Doubles, label: NDArray[np.int64], request: CalibrationRequest) -> Fit | None:
    """Fit a calibration on held-out images; None where there are too few for the coverage or the recall.

    Shapes: [N, classes] and [N].
    """
    found = fit_temperature(logits, label)
    temperature = 1.0 if found is None else found
    probability = scaled_probabilities(logits, temperature)
    decision: dict[str, Any] = {}
    if request.costs is not None:
        decision["costs"] = [list(map(float, row)) for row in request.costs]
    if request.recall is not None:
        scores = 1 - probability[label == request.positive, request.positive]
        if (rank := conformal_rank(request.recall, len(scores))) > len(scores):
            return None
        threshold = 1 - float(np.sort(scores)[rank - 1])
        decision |= {"recall": request.recall, "positive": request.positive, "threshold": threshold}
    if request.coverage is not None:
        scores = score_classes(probability, sets=request.sets)[np.arange(len(label)), label]
        if (rank := conformal_rank(request.coverage, len(scores))) > len(scores):
            return None
        quantile = float(np.sort(scores)[rank - 1])
        decision |= {"coverage": request.coverage, "sets": request.sets, "quantile": quantile, "rank": rank}
    return Fit(temperature=temperature, is_separable=found is None, decision=decision)
