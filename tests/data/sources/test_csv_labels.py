"""Tables whose images may have several classes."""

from pathlib import Path
from typing import Any

import pytest

from copycat.config.errors import UserError
from tests.data.sources.test_csv_images import load

ROWS = ["cat/a.png,1,0", "cat/b.jpeg,yes,x", "cat/more/c.bmp,,0", "dog/1.png,0,TRUE", "dog/2.PNG,1,1"]
TAGGED = ["cat/a.png,cat", "cat/b.jpeg,cat; dog", "cat/more/c.bmp,", "dog/1.png,dog", "dog/2.PNG,dog ;cat"]
LABELS = [[1, 0], [1, 1], [0, 0], [0, 1], [1, 1]]


def test_a_column_a_class_gives_each_image_its_classes_in_the_order_of_the_columns(pets: Path) -> None:
    source, parts = load(pets, *ROWS, header="path,cat,dog", label_columns=["dog", "cat"])
    assert list(source.classes) == ["dog", "cat"]
    assert parts["train"].labels.tolist() == [row[::-1] for row in LABELS]


def test_a_column_of_several_classes_says_the_same(pets: Path) -> None:
    source, parts = load(pets, *TAGGED, header="path,label", label_separator=";")
    assert list(source.classes) == ["cat", "dog"]
    assert parts["train"].labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("rows", "header", "options", "line"),
    [
        (ROWS, "path,cat,dog", {"label_columns": ["cat", "dgo"]}, r"expected some of cat, dog, path; got 'dgo'\. Did"),
        (
            ["cat/a.png,cat,1"],
            "path,cat,dog",
            {"label_columns": ["cat", "dog"]},
            "line 2: expected 1, 0 or nothing in cat;",
        ),
        (ROWS[:1], "path,cat,dog", {"label_columns": ["cat", "dog"]}, "expected images of two classes at least; got c"),
        (ROWS, "path,cat,dog", {"label_columns": ["cat", "dog"], "classes": ["a", "b"]}, "data.classes: expected null"),
        (
            TAGGED,
            "path,label",
            {"label_separator": ";", "classes": ["cat", "doge"]},
            r"got 'dog'\. Did you mean doge\?",
        ),
        (["cat/a.png,a;b|c"], "path,label", {"label_separator": "|", "delimiter": "comma"}, "without ';', and none"),
        (["cat/a.png,none|c"], "path,label", {"label_separator": "|", "delimiter": "comma"}, "got 'none'"),
    ],
)
def test_what_is_no_label_is_one_clear_line(
    pets: Path, rows: list[str], header: str, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(UserError, match=line):
        load(pets, *rows, header=header, **options)
