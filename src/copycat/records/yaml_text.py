"""Write configurations as YAML, with a cache, since a sweep's trials share most keys and writing is slow."""

from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper

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
        _written[known] = _dump(node) if _is_plain(value) else OmegaConf.to_yaml(OmegaConf.create(node))
    return _written[known]


def _dump(node: Mapping[str, Any]) -> str:
    """Format plain values as `OmegaConf.to_yaml` does, without making a node of each first."""
    text: str = yaml.dump(
        node, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=get_omega_conf_dumper()
    )
    return text


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(name) is str and _is_plain(inner) for name, inner in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float) or (type(value) is str and "$" not in value)
