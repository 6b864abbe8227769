"""Scale class probabilities by a temperature, and fit it."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
LOWEST, HIGHEST = 0.01, 100.0
"""Limits of a temperature."""
BISECTIONS = 100


def scaled_probabilities(logits: Doubles, temperature: float) -> Doubles:
    """Return the softmax of logits [N, classes] divided by a temperature."""
    return np.asarray(np.exp(_log_softmax(logits / temperature)))


def negative_log_likelihood(logits: Doubles, label: NDArray[np.int64], temperature: float) -> Doubles:
    """Return the negative logarithm of the true class's probability of each image, [N]."""
    return np.asarray(-_log_softmax(logits / temperature)[np.arange(len(label)), label])


def fit_temperature(logits: Doubles, label: NDArray[np.int64]) -> float | None:
    """Return the temperature of the smallest mean negative log likelihood, from 0.01 to 100.

    That is convex in the inverse temperature, so that its slope has one root, which is bisected. None where the true
    class has the largest logit of every image: the likelihood then rises with ever smaller temperatures. 100 where the
    logits tell nothing about the classes.

    Shapes: [N, classes] and [N].

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    centered = logits - logits[np.arange(len(label)), label][:, None]
    if not (centered > 0).any():
        return None

    def slope(inverse: float) -> float:
        return float((np.exp(_log_softmax(centered * inverse)) * centered).sum(1).mean())

    if slope(1 / HIGHEST) >= 0:
        return HIGHEST
    low, high = np.log([1 / HIGHEST, 1 / LOWEST])
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return max(float(np.exp(-high)), LOWEST)


def _log_softmax(logits: Doubles) -> Doubles:
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
