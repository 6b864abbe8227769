"""Find the direction in which a metric of the group `metrics` improves, where its class alone states it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from copycat.config.errors import UserError
from copycat.config.metric_names import find_node, metric_nodes


def is_higher_better(name: str, node: Mapping[str, Any]) -> bool | None:
    """Return whether higher values of a metric are better, by its node or else by its class; None if neither says."""
    from copycat.config.targets import import_target, signature_keys  # the class is imported, and torch with it

    if node.get("higher_is_better") is not None:
        return bool(node["higher_is_better"])
    target: Any = import_target(f"metrics.{name}", node["_target_"])
    if "task" in signature_keys(target):  # it makes an object of another class, which has the attribute
        target = getattr(import_module(target.__module__), f"Multiclass{target.__name__}", target)
    stated = getattr(target, "higher_is_better", None)
    return stated if isinstance(stated, bool) else None


def with_directions(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node `sweep` with the directions of objectives that the group `metrics` measures.

    Raises:
        UserError: where neither `sweep`, nor the metric's node, nor its class states one.
    """
    names, nodes = settings.get("objective"), metric_nodes(config)
    several = isinstance(names, list)
    listed = names if isinstance(names, list) else [names]
    if settings.get("direction") is not None or not any(find_node(str(name), nodes) for name in listed):
        return dict(settings)
    directions = [_direction(str(name), nodes) for name in listed]
    return {**settings, "direction": directions if several else directions[0]}


def _direction(metric: str, nodes: Mapping[str, Mapping[str, Any]]) -> str | None:
    if (node := find_node(metric, nodes)) is None:
        return None
    name = next(name for name, other in nodes.items() if other is node)
    if (best := is_higher_better(name, node)) is None:
        raise UserError(
            f"metrics.{name}.higher_is_better: expected true or false, as sweep.objective names {metric};"
            f" {node['_target_']} does not state it. Type {'' if 'higher_is_better' in node else '+'}"
            f"metrics.{name}.higher_is_better=true, or false."
        )
    return "maximize" if best else "minimize"
