"""Rows of a table, filtered and sorted as typed."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.tables.query import Query, select_rows, sort_rows

NUMBERS = st.one_of(st.integers(-5, 5), st.floats(-5, 5, allow_nan=False))
ROWS = st.lists(
    st.fixed_dictionaries(
        {"run": st.text("abc", max_size=2)}, optional={"final/val/loss": NUMBERS, "optimizer.lr": NUMBERS}
    )
)
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}


@given(rows=ROWS, sign=st.sampled_from(sorted(SIGNS)), wanted=NUMBERS)
def test_a_row_is_kept_where_its_number_compares_so(rows: list[dict[str, Any]], sign: str, wanted: float) -> None:
    kept = select_rows(rows, Query(filters=[f"lr{sign}{wanted!r}"]), known=["optimizer.lr"])
    assert kept == [row for row in rows if "optimizer.lr" in row and SIGNS[sign](row["optimizer.lr"], wanted)]


@given(rows=ROWS, descending=st.booleans())
def test_sorted_by_a_metric_rows_that_lack_it_come_last(rows: list[dict[str, Any]], descending: bool) -> None:
    found = select_rows(rows, Query(sort="val/loss", descending=descending), known=["final/val/loss"])
    there = [row["final/val/loss"] for row in rows if "final/val/loss" in row]
    assert [row.get("final/val/loss") for row in found][: len(there)] == sorted(there, reverse=descending)
    assert sorted(map(id, found)) == sorted(map(id, rows))


@given(
    values=st.lists(st.none() | NUMBERS | st.text("aBé \x1b\n", max_size=2) | st.lists(NUMBERS, max_size=2)),
    descending=st.booleans(),
)
def test_numbers_sort_before_text_and_equal_ones_keep_their_order(values: list[Any], descending: bool) -> None:
    def key(row: dict[str, Any]) -> tuple[bool, Any]:
        is_number = isinstance(row["key"], (int, float))
        return not is_number, row["key"] if is_number else printable(row["key"])

    rows = [{"key": value, "place": place} for place, value in enumerate(values)]
    having = sorted((row for row in rows if row["key"] is not None), key=key, reverse=descending)
    assert sort_rows(rows, "key", descending=descending) == [*having, *(row for row in rows if row["key"] is None)]


@given(rows=ROWS, first=NUMBERS, second=NUMBERS)
def test_several_conditions_all_hold(rows: list[dict[str, Any]], first: float, second: float) -> None:
    both = Query(filters=[f"lr>{first!r}", f"val/loss<={second!r}"])
    known = ["optimizer.lr", "final/val/loss"]
    one = select_rows(rows, Query(filters=both.filters[:1]), known=known)
    assert select_rows(rows, both, known=known) == select_rows(one, Query(filters=both.filters[1:]), known=known)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("model=deep", [0]),
        ("model!=deep", [1, 2]),
        ("hidden=[20,7]", [1]),
        ("bias=true", [0]),
        ("bias=1", []),
        ("started>=2026-11-24", [1, 2]),
        ("status = failed", [2]),
    ],
)
def test_words_lists_and_times_compare_as_they_are_typed(condition: str, kept: list[int]) -> None:
    rows: list[dict[str, Any]] = [
        {"model": "deep", "bias": True, "started": "2026-11-23T23:59:59.999+00:00", "status": "completed"},
        {
            "model": "shallow",
            "model.hidden": [20, 7],
            "started": "2026-11-24T00:00:00.000+00:00",
            "status": "completed",
        },
        {"started": "2026-11-25T00:00:00.000+00:00", "status": "failed"},
    ]
    assert select_rows(rows, Query(filters=[condition])) == [rows[place] for place in kept]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Query(filters=["optimzer.lr<1"]), "Did you mean optimizer.lr?"),
        (Query(filters=["status=complete"]), "Did you mean completed?"),
        (Query(filters=["optimizer.lr<small"]), "expected a number"),
        (Query(filters=["optimizer.lr"]), "expected a condition"),
        (Query(filters=["optimizer.lr=>1"]), "expected a condition"),
        (Query(filters=["seed=1 and val/loss<0.3"]), "Type --filter seed=1 --filter 'val/loss<0.3'."),
        (Query(filters=["seed=1,optimizer.lr=1"]), "Type --filter seed=1 --filter optimizer.lr=1."),
        (Query(sort="val/los"), "Did you mean val/loss?"),
        (Query(sort="loss"), "expected one of final/train/loss, final/val/loss"),
        (Query(descending=True), "expected --sort"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_nearest(choice: Query, said: str) -> None:
    with pytest.raises(UserError, match="expected") as error:
        select_rows([{"optimizer.lr": 1.0, "final/val/loss": 0.5, "final/train/loss": 0.5}], choice)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
