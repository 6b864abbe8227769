"""Choose which members of a parametrised family belong to `make test`."""

from collections.abc import Iterable
from typing import Any

import pytest


def mark_slow(values: Iterable[Any], *, fast: Iterable[Any], unpack: bool = False) -> list[Any]:
    """Return the values of a parameter, each marked `slow` but the `fast` ones, which must be among them.

    Args:
        values: of one parameter, or under `unpack` one tuple for several.
        fast: members of `make test`.
        unpack: whether each value is a tuple, for several parameters.
    """
    values, fast = list(values), list(fast)
    assert all(value in values for value in fast), f"expected some of {values}; got {fast}"
    slow = (pytest.param(*value if unpack else (value,), marks=pytest.mark.slow) for value in values)
    return [value if value in fast else marked for value, marked in zip(values, slow, strict=True)]
