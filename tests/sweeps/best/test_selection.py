"""Which candidates stay, which is chosen, and when an ensemble is accepted."""

import numpy as np

from copycat.records.predictions import Predictions
from copycat.sweeps.best.selection import MAX_REMAINING, find_ensemble, find_remaining, rank


def make_predictions(right: str, *, confidence: float = 0.9) -> Predictions:
    """Predictions of two classes, all images of class 0: right where there is a 1."""
    own = np.array([confidence if one == "1" else 1 - confidence for one in right])
    return Predictions(np.zeros(len(right), dtype=np.int64), np.stack([own, 1 - own], 1))


def test_a_candidate_that_is_worse_by_a_test_leaves() -> None:
    first = {
        "best": make_predictions("1" * 20),
        "close": make_predictions("1" * 16 + "0" * 4),  # 4 images: p = 0.125
        "worse": make_predictions("1" * 14 + "0" * 6),  # 6 images: p = 0.03
    }
    assert find_remaining(first) == ["best", "close"]


def test_few_remain_and_equal_accuracies_are_ranked_by_loss() -> None:
    first = {f"{place}": make_predictions("1" * 9 + "0", confidence=0.6 + place / 20) for place in range(6)}
    remaining = find_remaining(first)
    assert len(remaining) == MAX_REMAINING
    losses = [float(-np.log(first[name].probability[:, 0]).mean()) for name in remaining]
    assert losses == sorted(losses)
    assert rank({name: {0: first[name]} for name in remaining}) == remaining


def test_an_ensemble_is_accepted_where_it_is_proved_better() -> None:
    def make_folds(right: str) -> dict[int, Predictions]:
        own = np.array([0.9 if one == "1" else 0.4 for one in right])  # wrong ones are less sure
        return {0: Predictions(np.zeros(len(right), dtype=np.int64), np.stack([own, 1 - own], 1))}

    thirds = {"a": "1" * 20 + "0" * 10, "b": "0" * 10 + "1" * 20, "c": "1" * 10 + "0" * 10 + "1" * 10}
    gain = find_ensemble({name: make_folds(right) for name, right in thirds.items()})
    assert gain is not None
    assert (gain.alone, gain.accuracy) == (20 / 30, 1.0)
    assert gain.p < 0.05 / 3
    few = {"a": "1" * 26 + "0" * 4, "b": "0" * 4 + "1" * 26}
    assert find_ensemble({name: make_folds(right) for name, right in few.items()}) is None
