"""Values that were stored as columns are the same, to the bit and the type."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from copycat.tables.columns import group_by_shape, join_columns, split_columns

SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 0.1, float("inf"), "", "0", "null", 2**70])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=8))
def test_values_read_back_as_they_were_stored(values: list[Any]) -> None:
    found: dict[int, Any] = {}
    for shape, places in group_by_shape(values).items():
        columns = json.loads(json.dumps(split_columns([values[place] for place in places])))
        found |= zip(places, join_columns(json.loads(shape), columns, count=len(places)), strict=True)
    assert [json.dumps(found[place]) for place in range(len(values))] == [*map(json.dumps, values)]


def test_values_share_no_container() -> None:
    values = join_columns({"a": [None], "b": {}}, [["x"]], count=2)
    values[0]["a"].append("y")
    values[0]["b"]["c"] = 1
    assert values[1] == {"a": ["x"], "b": {}}


def test_equal_cells_are_stored_once() -> None:
    assert split_columns([{"a": 1, "b": number} for number in range(3)]) == [[1], [0, 1, 2]]
