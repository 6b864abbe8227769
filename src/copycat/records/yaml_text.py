"""Write configurations as YAML, with a cache, since a sweep's trials share most keys and writing is slow."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

MAX_CACHED = 256
"""Maximum number of cached keys."""
_written: dict[str, str] = {}


def to_yaml(config: Mapping[str, Any]) -> str:
    """Return a resolved configuration as YAML, reusing the cached text of each unchanged key."""
    return "".join(_key(name, value) for name, value in config.items())


def _key(name: str, value: Any) -> str:
    node = {name: value}
    known = repr(node)  # repr distinguishes 1, 1.0 and True, which are equal
    if known not in _written:
        if len(_written) == MAX_CACHED:
            _written.clear()
        _written[known] = OmegaConf.to_yaml(OmegaConf.create(node))
    return _written[known]
