"""Flatten a configuration to its dotted keys, and shorten them."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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


def iterate_nodes(node: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Iterate over the dotted keys of mappings that have keys of their own, and these mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield f"{before}{key}", value
            yield from iterate_nodes(value, f"{before}{key}.")


def flatten(node: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested mappings into values by dotted key."""
    return dict(iterate_values(node))


def short_names(names: Collection[str], reserved: Collection[str] = ()) -> dict[str, str]:
    """Return titles for keys: the last part, with the name before an index, if that is unique; else the whole key."""
    last = {name: match[0] if (match := re.search(r"[^.]+(\.\d+)*$", name)) else name for name in names}
    ends = Counter([*last.values(), *reserved])
    return {name: end if ends[end] == 1 else name for name, end in last.items()}
