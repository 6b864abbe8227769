"""Read the group `metrics` of a configuration: names, and the direction in which each improves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from copycat.config.suggestions import format_value

Nodes = Mapping[str, Mapping[str, Any]]
OWN_KEYS = ("higher_is_better", "needs_all_classes")
"""Keys of a metric's node that Copycat takes, not the class."""
PER_CLASS = (None, "none")
"""Values of `average` by which torchmetrics returns a value for each class."""


def metric_nodes(config: Mapping[str, Any]) -> Nodes:
    """Return the nodes of the group `metrics` by name, without null ones; none in runs of earlier versions."""
    nodes = config.get("metrics")
    return {n: node for n, node in nodes.items() if isinstance(node, Mapping)} if isinstance(nodes, Mapping) else {}


def find_node(metric: str, nodes: Nodes) -> Mapping[str, Any] | None:
    """Return the node that measures a metric such as `val/kappa`, `val/recall/cat` or `final/val/kappa`."""
    parts = metric.removeprefix("final/").removeprefix("best/").split("/")
    return nodes.get(parts[1] if len(parts) > 1 else parts[0])


def find_mode(metric: str, nodes: Nodes) -> Literal["min", "max"] | None:
    """Return the direction in which a metric improves; None where its class alone knows it."""
    if (node := find_node(metric, nodes)) is not None:
        best = node.get("higher_is_better")
        return None if best is None else "max" if best else "min"
    return "min" if "loss" in metric else "max"


def stated_directions(configs: Iterable[Mapping[str, Any]]) -> Nodes:
    """Return the directions that recorded configurations, by dotted key, state for the metrics of the group."""
    start, end = "metrics.", ".higher_is_better"
    keys = {key: config[key] for config in configs for key in config if key.startswith(start) and key.endswith(end)}
    return {key[len(start) : -len(end)]: {"higher_is_better": value} for key, value in keys.items()}


def find_name_conflicts(nodes: Nodes, *, taken: Sequence[str]) -> Iterator[str]:
    """Yield an error message for each name that no metric may have: not a word, or that of another metric."""
    for name, node in nodes.items():
        if not str(name).isidentifier():
            yield f"metrics: expected names of letters, digits and _; got {format_value(name)}."
        if name in taken and node.get("average", "") not in PER_CLASS:
            yield f"metrics.{name}: expected another name, as every run has {name}, or average=none. Rename it."


def with_mean_loss(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """Return the metrics of an epoch with the training loss of all its batches, which `train/loss` has of the last."""
    mean = metrics.get("train/loss_mean")
    return metrics if mean is None else {**metrics, "train/loss": mean}
