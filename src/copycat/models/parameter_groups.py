"""Group parameters by patterns of names, to multiply their learning rates, and by dimensions, for weight decay."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import Optimizer

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of

Group = dict[str, Any]
"""A group as optimizers take it: `params`, and settings of its own."""


def group_parameters(
    network: nn.Module, rates: Mapping[str, float], *, decays_all: bool = True
) -> list[tuple[float, Group]]:
    """Group parameters by the factor of their learning rate, and return each factor with a group for an optimizer.

    The first matching pattern applies. The group of factor 1 comes first, and may be empty. Parameters of factor 0 are
    in no group, and are frozen. Patterns are of parameter names, such as `head.*`. Without `decays_all`, parameters of
    one dimension, biases and the weights of normalization layers, are in groups of their own without weight decay.

    Raises:
        UserError: for a pattern that matches no remaining parameter, or where all factors are 0.
    """
    left = dict(network.named_parameters())
    names = list(left)
    by_factor: dict[float, list[nn.Parameter]] = {1.0: []}
    for pattern, factor in rates.items():
        found = [name for name in left if fnmatchcase(name, pattern)]
        if not found:
            raise UserError(_explain_unmatched(pattern, names))
        parameters = [left.pop(name) for name in found]
        if factor == 0:
            for parameter in parameters:
                parameter.requires_grad_(False)
        else:
            by_factor.setdefault(float(factor), []).extend(parameters)
    by_factor[1.0] += left.values()
    if not any(by_factor.values()):
        raise UserError(
            "lr_multipliers: expected a factor > 0 for some parameter; got 0 for all. Type lr_multipliers=null."
        )
    if decays_all:
        return [(factor, {"params": parameters}) for factor, parameters in by_factor.items()]
    groups: list[tuple[float, Group]] = []
    for factor, parameters in by_factor.items():
        groups.append((factor, {"params": [p for p in parameters if p.ndim > 1]}))
        groups.append((factor, {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}))
    return groups


def scale_learning_rates(optimizer: Optimizer, factors: Sequence[float]) -> None:
    """Multiply the learning rate of each of the optimizer's groups by its factor, in the same order.

    Raises:
        UserError: where the optimizer has no learning rate.
    """
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        if "lr" not in group:
            raise UserError(
                f"lr_multipliers: expected an optimizer with a learning rate; {type(optimizer).__name__} has none."
                " Type optimizer=adam."
            )
        group["lr"] *= factor


def _explain_unmatched(pattern: str, names: list[str]) -> str:
    if any(fnmatchcase(name, pattern) for name in names):
        return f"lr_multipliers: {pattern!r} fits only what patterns before it fit already. Write it before them."
    return (
        f"lr_multipliers: expected patterns of parameters, as {one_of(names, most=6)}; {pattern!r} fits none."
        f"{did_you_mean(pattern, _patterns(names, depth=pattern.count('.')))}"
    )


def _patterns(names: list[str], *, depth: int) -> list[str]:
    """Return the parameter names with a number of dots, and patterns `LAYER.*` of that depth."""
    layers = {".".join([*name.split(".")[:depth], "*"]) for name in names if name.count(".") >= depth}
    return [*sorted(layers), *(name for name in names if name.count(".") == depth)]
