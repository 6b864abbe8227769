"""Flatten a configuration to its dotted keys."""

from collections.abc import Iterator, Mapping
from typing import Any


def iterate_values(node: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over dotted keys and values; an empty mapping counts as a value.

    A key that is written in two ways comes twice.
    """
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from iterate_values(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def flatten(node: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested mappings into values by dotted key."""
    return dict(iterate_values(node))
