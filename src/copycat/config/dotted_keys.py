"""Flatten a configuration to its dotted keys."""

from collections.abc import Mapping
from typing import Any


def flatten(node: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Flatten nested mappings into values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flatten(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found
