"""Count correct and wrong predictions by class."""

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(probability: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count images by true class (rows) and predicted class (columns).

    Shapes: [N, classes] and [N] -> [classes, classes].
    """
    matrix = np.zeros((probability.shape[1],) * 2, dtype=np.int64)
    np.add.at(matrix, (label, probability.argmax(1)), 1)
    return matrix


def count_decisions(predicted: NDArray[np.bool_], label: NDArray[np.int64]) -> list[dict[str, int]]:
    """Count, for each class, images that have it (found or missed) and that lack it (false or rejected).

    Shapes: [N, classes] each.
    """
    true = label == 1
    counts = {
        "found": (predicted & true).sum(0),
        "missed": (~predicted & true).sum(0),
        "false": (predicted & ~true).sum(0),
        "rejected": (~predicted & ~true).sum(0),
    }
    return [{name: int(count[place]) for name, count in counts.items()} for place in range(true.shape[1])]
