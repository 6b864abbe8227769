"""Validate the settings of a search, before torch or Optuna is imported."""

from collections.abc import Mapping
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.rules import COST_OBJECTIVES
from copycat.config.search_space import SearchSpace


def check_search(sweeper: Mapping[str, Any], settings: Mapping[str, Any], space: SearchSpace) -> None:
    """Check that sampler, pruner, objectives (in the node `sweep`) and search space can be combined.

    Raises:
        UserError: for the first that cannot.
    """
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
