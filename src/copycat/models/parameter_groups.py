"""Learning rates of their own for some layers: groups of parameters by patterns of names."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn
from torch.optim import Optimizer

from copycat.config.errors import UserError
from copycat.config.suggestions import did_you_mean, one_of

Group = dict[str, list[nn.Parameter]]


def grouped(network: nn.Module, rates: Mapping[str, float]) -> dict[float, Group]:
    """Parameters by the factor of their learning rate, in groups as optimizers take them.

    The first pattern that fits a name counts. The group of factor 1 comes first, whether it has any or not; parameters
    of factor 0 are in none, and get no gradients from here on.

    Raises:
        UserError: for a pattern that fits nothing which is left by those before it, or where nothing is trained.
    """
    left = dict(network.named_parameters())
    names = list(left)
    groups: dict[float, Group] = {1.0: {"params": []}}
    for pattern, factor in rates.items():
        found = [name for name in left if fnmatchcase(name, pattern)]
        if not found:
            raise UserError(_unfit(pattern, names))
        parameters = [left.pop(name) for name in found]
        if factor == 0:
            for parameter in parameters:
                parameter.requires_grad_(False)
        else:
            groups.setdefault(float(factor), {"params": []})["params"] += parameters
    groups[1.0]["params"] += left.values()
    if not any(group["params"] for group in groups.values()):
        raise UserError(
            "lr_multipliers: expected a factor > 0 for some parameter; got 0 for all. Type lr_multipliers=null."
        )
    return groups


def scale(optimizer: Optimizer, factors: Mapping[float, Group]) -> None:
    """Give each group its share of the rate that all were made with.

    Raises:
        UserError: where the groups have no rate.
    """
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        if "lr" not in group:
            raise UserError(
                f"lr_multipliers: expected an optimizer with a learning rate; {type(optimizer).__name__} has none."
                " Type optimizer=adam."
            )
        group["lr"] *= factor


def _unfit(pattern: str, names: list[str]) -> str:
    if any(fnmatchcase(name, pattern) for name in names):
        return f"lr_multipliers: {pattern!r} fits only what patterns before it fit already. Write it before them."
    return (
        f"lr_multipliers: expected patterns of parameters, as {one_of(names, most=6)}; {pattern!r} fits none."
        f"{did_you_mean(pattern, _patterns(names, depth=pattern.count('.')))}"
    )


def _patterns(names: list[str], *, depth: int) -> list[str]:
    """Names with so many dots, and those of layers with a star for what is in them."""
    layers = {".".join([*name.split(".")[:depth], "*"]) for name in names if name.count(".") >= depth}
    return [*sorted(layers), *(name for name in names if name.count(".") == depth)]
