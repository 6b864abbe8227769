"""Builds what a group of the configuration lists: callbacks, loggers."""

import logging
from typing import Any

import hydra
from omegaconf import DictConfig

log = logging.getLogger(__name__)


def instantiate_all(group: DictConfig | None) -> list[Any]:
    """What each entry with a `_target_` names; none where the group is empty."""
    made = []
    for node in (group or {}).values():
        if isinstance(node, DictConfig) and "_target_" in node:
            log.info("Instantiating <%s>", node._target_)
            made.append(hydra.utils.instantiate(node))
    return made
