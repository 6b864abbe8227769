"""Counts of predictions against plain counting."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from copycat.inspection.confusion_counts import confusion_matrix

said = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.floats(0.01, 1))


@given(said, st.randoms())
def test_a_matrix_counts_by_class_and_by_what_was_said(raw: np.ndarray, random: object) -> None:
    probability = raw / raw.sum(1, keepdims=True)
    classes = raw.shape[1]
    label = np.arange(len(raw)) % classes
    found = confusion_matrix(probability, label)
    for true in range(classes):
        for taken in range(classes):
            pairs = [1 for row, of in zip(probability, label, strict=True) if of == true and row.argmax() == taken]
            assert found[true, taken] == len(pairs)
