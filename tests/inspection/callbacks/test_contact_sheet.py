"""Images with captions in one image."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from copycat.inspection.callbacks.confusion import draw_confusion_matrix
from copycat.inspection.callbacks.contact_sheet import contact_sheet, draw_text
from copycat.inspection.callbacks.mistakes import CELL

IMAGE = np.zeros((8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(("word", "other"), [("Bär", "Bür"), ("ель", "ёлк"), ("φ", "ψ")])
def test_letters_beyond_ascii_are_letters_and_no_boxes(word: str, other: str) -> None:
    one, two = (contact_sheet([IMAGE], [f"predicted {name}"]) for name in (word, other))
    assert not np.array_equal(one, two)
    one, two = (draw_confusion_matrix(np.eye(2, dtype=np.int64), [name, "plain"]) for name in (word, other))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("text", ["predicted non-cat, 0.52", "predicted Söhne, 0.52"])
def test_a_prediction_fits_below_its_image(text: str) -> None:
    wide, cell = (Image.new("RGB", (400, 14), "white") for _ in range(2))
    for image, width in ((wide, 400), (cell, CELL)):
        draw_text(ImageDraw.Draw(image), (0, 0), text, width)
    assert wide.tobytes() == cell.tobytes()


def test_a_long_class_leaves_the_next_column_free() -> None:
    matrix = np.eye(2, dtype=np.int64)
    long, none = (draw_confusion_matrix(matrix, [name, ""])[20:40] for name in ("W" * 30, ""))
    changed = np.flatnonzero((long != none).any(axis=(0, 2)))
    assert changed.min() >= 110
    assert changed.max() < 110 + 64
