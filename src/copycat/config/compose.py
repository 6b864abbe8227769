"""Compose command-line overrides into one resolved, validated configuration, before torch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from copycat.config.composition import compose_config, open_loader, resolve, split_sweep_node
from copycat.config.errors import UserError
from copycat.config.overrides import SWEEP_HINT, as_words, input_lines, parse_overrides
from copycat.config.validation import check_config

SWEEP_PREFIXES = ("sweep.", "hydra/sweeper", "hydra.sweeper.", "hydra/launcher", "hydra.launcher.")
"""Prefixes of keys and groups that a sweep alone has."""
NO_SWEEP = f"expected one run, where nothing varies; got a sweep.{SWEEP_HINT}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Hold the request for one run: with the code and the data, all that reproduces it."""

    config: Mapping[str, Any]
    """The whole resolved configuration in plain containers."""
    experiment: str = "default"
    overrides: Sequence[str] = ()


def compose(overrides: Sequence[str] = (), *, check_data: bool = True) -> Request:
    """Compose and validate one run.

    Args:
        overrides: in Hydra's grammar, such as `optimizer.lr=1e-3`.
        check_data: check the network's input against the data; off to inspect a network without data.

    Raises:
        UserError: for the first mistake, with the nearest valid word.
    """
    with open_loader() as loader:
        parsed = parse_overrides(as_words(overrides), loader)
        config, settings = split_sweep_node(resolve(compose_config(parsed, loader)))
    if settings.get("params"):
        raise UserError(f"sweep.params: {NO_SWEEP}")
    check_config(config, check_data=check_data)
    return Request(config=config, experiment=experiment_name(parsed), overrides=input_lines(parsed))


def check_single_run(request: Request) -> None:
    """Raise a UserError where an override is of a sweep, which one run would ignore: `-m` was forgotten."""
    for word in request.overrides:
        key = word.lstrip("+~").partition("=")[0]
        if key.startswith(SWEEP_PREFIXES):
            raise UserError(f"{key}: {NO_SWEEP}")


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise a UserError for the first override that names no existing option or key; values are not validated."""
    with open_loader() as loader:
        compose_config(parse_overrides(overrides, loader), loader)


def quote_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides, quoted where Hydra's grammar needs it."""
    with open_loader() as loader:
        return input_lines(parse_overrides(overrides, loader))


def experiment_name(parsed: Sequence[Override]) -> str:
    """Return the name of the experiment: `a+b` for two merged ones, `sweep` where experiments vary under -m."""
    named = [override for override in parsed if override.key_or_group == "experiment" and not override.is_delete()]
    if not named:
        return "default"
    if named[-1].is_sweep_override():
        return "sweep"
    value = named[-1].value()
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
