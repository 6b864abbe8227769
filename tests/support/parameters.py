"""Choose which members of a parametrised family belong to `make test`."""

from collections.abc import Iterable
from typing import Any

import pytest


def mark_slow(values: Iterable[Any], *, fast: Iterable[Any]) -> list[Any]:
    """Return the values of a parameter, each marked `slow` but the `fast` ones, which must be among them."""
    values, fast = list(values), list(fast)
    assert all(value in values for value in fast), f"expected some of {values}; got {fast}"
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]
