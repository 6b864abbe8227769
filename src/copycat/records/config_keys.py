"""Hash the values of a configuration key by key, so that a later change can be named."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from copycat.config.dotted_keys import iterate_values


def key_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a short hash of each value, by its dotted key."""
    return {key: blake2b(repr(value).encode(), digest_size=4).hexdigest() for key, value in iterate_values(config)}


def changed_keys(config: Mapping[str, Any], digests: Mapping[str, str]) -> list[str]:
    """List the keys whose values do not match the hashes, including added and removed keys."""
    now = key_digests(config)
    return [key for key in dict.fromkeys([*now, *digests]) if now.get(key) != digests.get(key)]
