"""Store many JSON values of few shapes as columns, which take a fraction of the bytes and of the time to read.

The shape of a value is the value with null in place of each text, number, boolean and null. Values of one shape share a
list of columns, one for each of these nulls in the order of the shape; a column of equal cells holds one of them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Columns = Sequence[Sequence[Any]]


def group_by_shape(values: Iterable[Any]) -> dict[str, list[int]]:
    """Return the places of the values of each shape, which is JSON text."""
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(json.dumps(_shape(value), separators=(",", ":")), []).append(place)
    return places


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list | tuple) else None


def split_columns(values: Sequence[Any]) -> list[list[Any]]:
    """Return the columns of values of one shape."""
    return [_shorten([*cells]) for cells in zip(*map(_leaves, values), strict=True)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _shorten(cells: list[Any]) -> list[Any]:
    """Return one of the cells where all are equal to the bit and the type: 0, 0.0, -0.0 and False are not."""
    return cells[:1] if len(set(map(repr, cells))) == 1 else cells


def join_columns(shape: Any, columns: Iterable[Sequence[Any]], *, count: int) -> list[Any]:
    """Return the values of one shape, of which there are `count`, from the columns of `split_columns`."""
    rest = iter(columns)

    def join(part: Any) -> Sequence[Any]:
        if part is None:
            cells = next(rest)
            return [*cells] * count if len(cells) == 1 else cells
        if not part:
            return [type(part)() for _ in range(count)]
        if isinstance(part, dict):
            keys, inner = tuple(part), [join(value) for value in part.values()]
            return [dict(zip(keys, row, strict=True)) for row in zip(*inner, strict=True)]
        return [list(row) for row in zip(*(join(value) for value in part), strict=True)]

    return [*join(shape)]
