"""Fill in and check the lengths of learning-rate schedules, which count epochs or steps, as their interval says."""

from collections.abc import Iterator, Mapping
from typing import Any

from copycat.config.options import PACKAGE
from copycat.config.suggestions import format_value, pluralize

Node = Mapping[str, Any]

TOTAL_KEYS = ("T_max", "total_iters", "total_steps")
"""Keys of lengths that are the whole run's where they are null."""
FILLED_KEYS = (*TOTAL_KEYS, "warmup_iters", "milestones", "milestone")
"""Keys of lengths that `fill_lengths` may change."""
PARTS = ("first", "second")
"""Keys of the schedules in a sequence."""


def fill_lengths(node: Node, *, total: int, per_epoch: int) -> dict[str, Any]:
    """Return a scheduler's node with its open lengths and its shares of the run as whole numbers.

    Args:
        node: of torch's or Copycat's schedulers; the keys of others may have other meanings.
        total: epochs, or steps, of the run.
        per_epoch: steps of an epoch where the schedule counts steps, else 1.
    """
    filled = dict(node)
    if not str(node.get("_target_")).startswith(("torch.", f"{PACKAGE}.")):
        return filled
    for name in TOTAL_KEYS:
        if name in node and node[name] is None:
            filled[name] = total
    if "warmup_iters" in node and node["warmup_iters"] is None:
        warmup = node["warmup"]
        filled["warmup_iters"] = (
            warmup * per_epoch if isinstance(warmup, int) else _count(warmup, filled["total_iters"])
        )
    if isinstance(node.get("milestones"), list):
        filled["milestones"] = [max(1, _count(value, total)) for value in node["milestones"]]  # 1 of 1: never reached
    if isinstance(node.get("milestone"), (int, float)):
        filled["milestone"] = start = _count(node["milestone"], total)
        for part, length in zip(PARTS, (start, total - start), strict=True):
            if isinstance(node.get(part), Mapping):
                filled[part] = fill_lengths(node[part], total=length, per_epoch=per_epoch)
    return filled


def _count(value: float, total: int) -> int:
    """Return a length as a number of epochs or steps; a share leaves at least one of them to what follows."""
    return value if isinstance(value, int) else min(max(1, int(value * total + 0.5)), total - 1)


def find_length_conflicts(node: Node, *, total: int, per_epoch: int, key: str = "scheduler") -> Iterator[str]:
    """Yield an error message for each length that does not fit into the run; the arguments are those of `fill_lengths`.

    `key` is the node's own.
    """
    filled = fill_lengths(node, total=total, per_epoch=per_epoch)
    run = pluralize(total, "epoch" if node.get("interval") == "epoch" else "step")
    if "warmup_iters" in filled and filled["warmup_iters"] >= filled["total_iters"]:
        name = "warmup" if node["warmup_iters"] is None else "warmup_iters"
        whole = pluralize(filled["total_iters"] // per_epoch, "epoch") if name == "warmup" else run
        yield f"{key}.{name}: expected less than {whole}, the length of the schedule; got {node[name]}."
    milestones = filled.get("milestones")
    if isinstance(milestones, list) and sorted(milestones) != milestones:
        yield f"{key}.milestones: expected ascending numbers; got {format_value(node['milestones'])}."
    if filled.get("pct_start", 0) * filled.get("total_steps", 0) == 1:
        yield (
            f"{key}.pct_start: expected more or less than one of {run}, where torch divides by 0;"
            f" got {node['pct_start']}."
        )
    if "milestone" in filled and not 0 < filled["milestone"] < total:
        yield f"{key}.milestone: expected at least 1 and less than {run}, the whole run; got {node['milestone']}."
    elif "milestone" in filled:
        lengths = (filled["milestone"], total - filled["milestone"])
        for part, length in zip(PARTS, lengths, strict=True):
            yield from find_length_conflicts(node[part], total=length, per_epoch=per_epoch, key=f"{key}.{part}")
