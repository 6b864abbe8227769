"""Values that were stored as columns are the same, to the bit and the type."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from copycat.tables.columns import choose_columns, group_by_shape, join_columns, unpack_column

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 0.1, float("nan"), 2**63, float("inf"), "", "0", "null", 2**70]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(VALUES, max_size=8))
def test_values_read_back_as_they_were_stored(values: list[Any]) -> None:
    found: dict[int, Any] = {}
    for group in group_by_shape(values):
        shape, columns = json.loads(json.dumps([group.shape, group.columns]))
        found |= zip(group.places, join_columns(shape, columns, count=len(group.places)), strict=True)
    assert [json.dumps(found[place]) for place in range(len(values))] == [*map(json.dumps, values)]


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES), max_size=8), st.sets(st.sampled_from("ab")))
def test_mappings_read_back_with_the_chosen_keys(values: list[dict[str, Any]], keys: set[str]) -> None:
    found: dict[int, Any] = {}
    for group in group_by_shape(values):
        shape, columns = choose_columns(group.shape, group.columns, keys=keys)
        found |= zip(group.places, join_columns(shape, columns, count=len(group.places)), strict=True)
    expected = [{key: inner for key, inner in value.items() if key in keys} for value in values]
    assert [json.dumps(found[place]) for place in range(len(values))] == [*map(json.dumps, expected)]


def test_equal_values_are_objects_of_their_own_but_share_their_parts() -> None:
    (group,) = group_by_shape([{"a": [1], "b": 2}] * 2)
    first, second = join_columns(group.shape, group.columns, count=2)
    first["b"] = 3
    assert (second["b"], first["a"] is second["a"]) == (2, True)


def test_equal_cells_are_stored_once_and_numbers_as_bytes() -> None:
    (group,) = group_by_shape({"a": "x", "b": number, "c": number / 2, "d": str(number)} for number in range(3))
    one, whole, real, text = group.columns
    assert (one, [*whole], [*real], text) == (["x"], ["q"], ["d"], ["0", "1", "2"])
    assert [*unpack_column(real, count=3)] == [0.0, 0.5, 1.0]


def test_values_of_different_keys_have_different_shapes() -> None:
    values = [{"a": 1}, {"b": 1}, {}, [], [1], {"a": {}}, {"a": []}, {"a": {"b": 1}}, {"a": 1, "b": 1}, [[1]], [1, 1]]
    assert [group.places for group in group_by_shape(values)] == [[place] for place in range(len(values))]
