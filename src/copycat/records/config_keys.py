"""A configuration's values, key by key, and hashes of them: enough to name the one that was changed."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any


def key_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each value, by its dotted key."""
    return {key: blake2b(repr(value).encode(), digest_size=4).hexdigest() for key, value in values(config)}


def changed_keys(config: Mapping[str, Any], digests: Mapping[str, str]) -> list[str]:
    """The keys whose values are not those that the hashes were taken of, added and removed ones too."""
    now = key_digests(config)
    return [key for key in dict.fromkeys([*now, *digests]) if now.get(key) != digests.get(key)]


def values(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with its dotted key; an empty mapping is a value."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from values(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
