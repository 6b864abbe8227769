"""config.yaml as text. A sweep's trials share most of it, and writing YAML takes long."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

MOST = 256
_written: dict[str, str] = {}


def as_yaml(config: Mapping[str, Any]) -> str:
    """A resolved configuration, each of its keys as it was written before where it has the same value."""
    return "".join(_key(name, value) for name, value in config.items())


def _key(name: str, value: Any) -> str:
    node = {name: value}
    known = repr(node)  # tells 1 from 1.0 and from True, which are equal
    if known not in _written:
        if len(_written) == MOST:
            _written.clear()
        _written[known] = OmegaConf.to_yaml(OmegaConf.create(node))
    return _written[known]
