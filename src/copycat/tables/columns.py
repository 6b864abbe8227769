"""Store many JSON values of few shapes as columns, which take a fraction of the bytes and of the time to read.

The shape of a value is the value with null in place of each text, number, boolean and null. Values of one shape share a
list of columns, one for each of these nulls in the order of the shape. A column is a list of its cells; a list of one
of them where all are equal; or, of floats or whole numbers alone, their bytes.
"""

from array import array
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from sys import intern
from typing import Any

Column = Sequence[Any] | Mapping[str, str]
_ARRAYS = {"d": float, "q": int}
"""Types of cells that are stored as bytes, by the code that Python's `array` has for them."""


@dataclass(frozen=True)
class Group:
    """Hold the values of one shape."""

    shape: Any
    places: list[int] = field(default_factory=list)
    """Places of the values among all."""
    leaves: list[list[Any]] = field(default_factory=list)
    """The texts, numbers, booleans and nulls of each value."""

    @property
    def columns(self) -> list[Column]:
        """Return the columns."""
        return [pack_column(cells) for cells in zip(*self.leaves, strict=True)]


def group_by_shape(values: Iterable[Any]) -> list[Group]:
    """Group JSON values by their shapes."""
    groups: dict[Any, Group] = {}
    for place, value in enumerate(values):
        leaves: list[Any] = []
        key = _split(value, leaves)
        if (group := groups.get(key)) is None:
            group = groups[key] = Group(_blank(value))
        group.places.append(place)
        group.leaves.append(leaves)
    return [*groups.values()]


def _split(value: Any, leaves: list[Any]) -> Any:
    """Append what a value holds to the leaves, and return a key of its shape."""
    if isinstance(value, dict):
        return (tuple(value), *[_split(inner, leaves) for inner in value.values()])
    if isinstance(value, list):
        return (None, *[_split(inner, leaves) for inner in value])
    leaves.append(value)
    return None


def _blank(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _blank(inner) for key, inner in value.items()}
    return [*map(_blank, value)] if isinstance(value, list) else None


def pack_column(cells: Sequence[Any]) -> Column:
    """Return a column of cells as JSON has it."""
    first = cells[0]
    if all(cell == first for cell in cells) and len({*map(repr, cells)}) == 1:  # unlike 0, 0.0, -0.0 and False
        return [first]
    kinds = {*map(type, cells)}
    for code, kind in _ARRAYS.items():
        if kinds == {kind}:
            try:
                return {code: b64encode(array(code, cells)).decode()}
            except OverflowError:  # a whole number of more than 64 bits
                break
    return list(cells)


def unpack_column(column: Column, *, count: int) -> Sequence[Any]:
    """Return the cells of a column."""
    if isinstance(column, Mapping):
        ((code, text),) = column.items()
        return array(code, b64decode(text)).tolist()
    return [*column] * count if len(column) == 1 else column


def join_columns(shape: Any, columns: Iterable[Column], *, count: int) -> list[Any]:
    """Return the values of one shape, of which there are `count`, from its columns.

    Parts of values that are equal in all are one object: do not change them.
    """
    return [*_join(shape, iter(columns), count=count, share=False)[0]]


def choose_columns(
    shape: Mapping[str, Any], columns: Sequence[Column], *, keys: Collection[str]
) -> tuple[Mapping[str, Any], Sequence[Column]]:
    """Return the shape and columns of mappings that have no other of their keys than these."""
    rest = iter(columns)
    parts = {key: [*islice(rest, _count_leaves(inner))] for key, inner in shape.items()}
    chosen = {key: inner for key, inner in shape.items() if key in keys}
    return chosen, [column for key in chosen for column in parts[key]]


def _count_leaves(shape: Any) -> int:
    return 1 if shape is None else sum(map(_count_leaves, shape.values() if isinstance(shape, dict) else shape))


def _join(shape: Any, columns: Iterator[Column], *, count: int, share: bool = True) -> tuple[Sequence[Any], bool]:
    """Return the part of this shape of each value, and whether it is the same in all, and may then be one object."""
    if shape is None:
        column = next(columns)
        return unpack_column(column, count=count), len(column) == 1 and not isinstance(column, Mapping)
    inner = shape.values() if isinstance(shape, dict) else shape
    parts = [_join(part, columns, count=count) for part in inner]
    keys = [*map(intern, shape)] if isinstance(shape, dict) else range(len(shape))  # found faster in many mappings
    first = dict(zip(keys, (cells[0] for cells, _ in parts), strict=True))
    is_same = share and all(is_same for _, is_same in parts)
    if is_same:
        return [first if isinstance(shape, dict) else [*first.values()]] * count, True
    joined = [*map(dict.copy, repeat(first, count))]  # faster than to insert what is the same in all
    different = {key: cells for key, (cells, is_same) in zip(keys, parts, strict=True) if not is_same}
    if different:
        rows = zip(*different.values(), strict=True)
        deque(map(dict.update, joined, map(zip, repeat([*different]), rows)), maxlen=0)
    return joined if isinstance(shape, dict) else [[*one.values()] for one in joined], False
