"""How sure scores are, of so few images."""

import numpy as np
import torch
from numpy.typing import NDArray

from copycat.models.metrics import scores

RESAMPLES = 2000
RESAMPLES_OF_MANY = 200
"""Of more than two classes, whose scores are reckoned one by one."""


def bootstrap(probability: NDArray[np.floating], label: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each score over images drawn anew with replacement, always the same ones.

    Args:
        probability: [N, classes].
        label: [N].

    Source: Efron 1979, Bootstrap Methods: Another Look at the Jackknife; its percentiles.
    """
    count, classes = probability.shape
    times = RESAMPLES if classes == 2 else RESAMPLES_OF_MANY
    chosen = np.random.default_rng(0).integers(count, size=(times, count))
    said = torch.from_numpy((probability[:, 1] if classes == 2 else probability)[chosen]).float()
    found = scores(said, torch.from_numpy(label[chosen]), classes=classes)
    intervals = {}
    for name, values in found.items():
        there = [value for value in values if value == value]
        if there:
            low, high = np.percentile(there, [2.5, 97.5])
            intervals[name] = float(low), float(high)
    return intervals
