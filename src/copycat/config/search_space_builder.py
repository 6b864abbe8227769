"""Build the search space of a sweep from overrides, a preset and the node `sweep`, and validate that of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override

from copycat.config.dotted_keys import flatten
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.overrides import expand_values, input_lines, parse_overrides
from copycat.config.rules import COST_OBJECTIVES
from copycat.config.search_space import Axis, Condition, SearchSpace
from copycat.config.suggestions import did_you_mean, format_value, one_of


def build_search_space(
    words: Sequence[str], *, sweep: Mapping[str, Any], params: Mapping[str, Any], loader: ConfigLoader
) -> SearchSpace:
    """Build the search space from overrides and a preset, whose axes they replace by key.

    The preset lies in the nodes `sweep.params` and `hydra.sweeper.params`.

    Raises:
        UserError: for an override that does not parse, or axes that cannot be combined.
    """
    assert isinstance(loader, ConfigLoaderImpl)
    preset = {**flatten(params), **flatten(sweep.get("params") or {})}
    typed = {override.key_or_group: override for override in parse_overrides(words, loader)}
    others = {key: value for key, value in preset.items() if key.lstrip("+~") not in typed}
    given = [f"{key}={'null' if value is None else value}" for key, value in others.items()]
    overrides = {override.key_or_group: override for override in parse_overrides(given, loader)} | typed
    axes = {name: Axis(name, override) for name, override in overrides.items() if override.is_sweep_override()}
    fixed = input_lines([override for name, override in overrides.items() if name not in axes])
    for name, axis in axes.items():
        if name.startswith(("sweep.", "hydra.", "hydra/")) or name in ("sweep", "output_dir"):
            raise UserError(f"{name}: expected one value for the whole sweep; got {axis.words!r}.")
    for axis in axes.values():
        _check_interval(axis)
    zipped = _parse_zip(sweep.get("zip") or [], axes)
    when = flatten(sweep.get("when") or {})
    conditions = {key: _parse_condition(key, str(text), axes, loader) for key, text in when.items()}
    space = SearchSpace(loader, fixed, axes, zipped, conditions)
    space.ordered_axes()
    return space


def _check_interval(axis: Axis) -> None:
    if (interval := axis.interval) is None:
        return
    assert interval.start is not None
    assert interval.end is not None
    above = "0 < " if "log" in interval.tags else ""
    if not interval.start < interval.end or (above and interval.start <= 0):
        raise UserError(f"{axis.name}: expected {above}first < last; got {axis.words}.")


def _parse_zip(lists: Sequence[Any], axes: Mapping[str, Axis]) -> list[list[str]]:
    groups = [lists] if lists and isinstance(lists[0], str) else list(lists)
    seen: set[str] = set()
    for name in (name for group in groups for name in group):
        if name not in axes:
            raise UserError(
                f"sweep.zip: expected keys that vary, as {one_of(axes)}; got {name!r}.{did_you_mean(str(name), axes)}"
            )
        if name in seen:
            raise UserError(f"sweep.zip: expected each key once; got {name} again.")
        seen.add(name)
    return [list(group) for group in groups]


def _parse_condition(key: str, text: str, axes: Mapping[str, Axis], loader: ConfigLoaderImpl) -> Condition:
    other = parse_overrides([text], loader)[0]
    for name in (key, other.key_or_group):
        if name not in axes:
            raise UserError(
                f"sweep.when.{key}: expected keys that vary, as {one_of(axes)}; got {name!r}.{did_you_mean(name, axes)}"
            )
    values, axis = _parse_values(other, loader), axes[other.key_or_group]
    valid = [] if axis.interval else _parse_values(axis.override, loader)
    if valid and not any(value in valid for value in values):
        names = [str(value) for value in valid]
        raise UserError(
            f"sweep.when.{key}: expected one of the sweep's values of {axis.name}: {one_of(names)};"
            f" got {', '.join(map(format_value, values))}.{did_you_mean(str(values[0]), names)}"
        )
    return Condition(other.key_or_group, values)


def _parse_values(override: Override, loader: ConfigLoaderImpl) -> list[Any]:
    return [parse_overrides([word], loader)[0].value() for word in expand_values(override)]


def check_search(sweeper: Mapping[str, Any], settings: Mapping[str, Any], space: SearchSpace) -> None:
    """Raise a UserError unless sampler, pruner, objectives (in the node `sweep`) and search space can be combined."""
    if not space.axes:
        raise UserError("hydra/sweeper=optuna: expected a key that varies, as optimizer.lr=interval(1e-4,1e-1).")
    zipped = {name for names in space.zipped for name in names}
    for name, axis in space.axes.items():
        if axis.interval and (name in zipped or is_grid_search(sweeper)):
            by = "sweep.zip" if name in zipped else "hydra/sweeper/sampler=grid"
            raise UserError(f"{name}: expected values, a choice or a range for {by}; got {axis.words}.")
    if not has_pruner(sweeper):
        return
    objective = settings["objective"]
    if isinstance(objective, list) and len(objective) > 1:
        raise UserError("hydra/sweeper/pruner: expected one objective to prune by; got several. Type …/pruner=none.")
    name = objective[0] if isinstance(objective, list) else objective
    if name in COST_OBJECTIVES:
        raise UserError(
            f"hydra/sweeper/pruner: expected an objective that each epoch has; got {name}. Type …/pruner=none."
        )


def is_grid_search(sweeper: Mapping[str, Any]) -> bool:
    """Return whether the sampler tries every combination."""
    return is_option(sweeper["sampler"]["_target_"], "hydra/sweeper/sampler", "grid")


def has_pruner(sweeper: Mapping[str, Any]) -> bool:
    """Return whether a search may end trials early."""
    if not (pruner := sweeper.get("pruner")):
        return False
    return not is_option(pruner["_target_"], "hydra/sweeper/pruner", "none")
