"""A configuration has the YAML that OmegaConf writes."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from copycat.config.compose import compose
from copycat.records.yaml_text import to_yaml

NODES: list[dict[str, Any]] = [
    {"a": {"b": [1, 1.0, True, None, "1", "true", "null", "1e-3", "é", "a: b", "- c", "", " x"], "c": {}, "d": []}},
    {"a": {"b": "${c}", "d": "a$b"}, "c": 1},
    {"a": {"b": "two\nlines", "c": "x" * 200, "d": -0.0, "e": 1e-05, "f": 1e16}},
    {"a": {1: "x", "b": [(1, 2)]}},
]


@pytest.mark.parametrize("node", NODES)
def test_a_node_has_the_text_of_omegaconf(node: dict[str, Any]) -> None:
    assert to_yaml(node) == OmegaConf.to_yaml(OmegaConf.create(node))


def test_the_packaged_configuration_has_the_text_of_omegaconf() -> None:
    config = dict(compose(["callbacks=[default,saliency]"]).config)
    assert to_yaml(config) == OmegaConf.to_yaml(OmegaConf.create(config))
