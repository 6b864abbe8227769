"""A table gives rows, columns, a DataFrame and HTML."""

import math
import sys
from typing import Any

import numpy as np
import pytest

from copycat import Table, UserError
from copycat.api.images import Predictions

ROWS: list[dict[str, Any]] = [
    {"epoch": 0.0, "val/loss": 0.5},
    {"epoch": 1.0},
    {"epoch": 2.0, "val/loss": 0.25, "note": "<b>&"},
]


def test_a_number_gives_a_row_and_a_name_a_column() -> None:
    table = Table(ROWS)
    assert table[1] == {"epoch": 1.0}
    assert table["val/loss"] == [0.5, None, 0.25]
    assert table.columns == ["epoch", "val/loss", "note"]
    assert len(table) == len(list(table)) == 3
    assert table[1:]["epoch"] == [1.0, 2.0]
    with pytest.raises(KeyError, match="val/los"):
        table["val/los"]


def test_a_notebook_shows_text_as_it_is() -> None:
    html = Table(ROWS)._repr_html_()
    assert "<td>&lt;b&gt;&amp;</td>" in html
    assert html.count("<tr>") == 4
    assert "1000 rows" in Table([{"x": 1}] * 1000)._repr_html_()


def test_a_notebook_shows_no_control_characters() -> None:
    html = Table([{"a\x1b]0;t\x07": "b\u202egnp"}])._repr_html_()
    assert "<th>a�]0;t�</th>" in html
    assert "<td>b�gnp</td>" in html


def test_a_notebook_shows_predictions_of_classes_whatever_they_are_called() -> None:
    predictions = Predictions(("class", "image"), np.array([[0.25, 0.75]]), np.array([1]))
    assert "<td>0</td><td>image</td><td>0.2500</td><td>0.7500</td>" in predictions._repr_html_()


def test_pandas_gives_the_same_columns() -> None:
    pytest.importorskip("pandas")
    frame = Table(ROWS).to_pandas()
    assert list(frame.columns) == Table(ROWS).columns
    assert frame["epoch"].tolist() == [0.0, 1.0, 2.0]
    assert math.isnan(frame["val/loss"][1])


def test_without_pandas_one_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"Type pip install pandas\."):
        Table(ROWS).to_pandas()
