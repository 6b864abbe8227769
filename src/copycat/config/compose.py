"""From words on the command line to one resolved, checked configuration, before torch is imported."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean, one_of
from copycat.config.places import CONF, MAIN
from copycat.config.rules import check


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked: enough, with the code and the data, to run it."""

    config: Mapping[str, Any]
    """The whole resolved configuration in plain containers."""
    experiment: str = "default"
    overrides: Sequence[str] = ()


def compose(overrides: Sequence[str] = (), *, data_too: bool = True) -> Request:
    """Compose and check one run.

    Args:
        data_too: hold the network against the data; off where it is looked at without any.

    Raises:
        UserError: for the first mistake, with the nearest valid word.
    """
    with _hydra() as loader:
        return _compose(_parse(overrides, loader), loader, data_too=data_too)


def check_trials(overrides: Sequence[str]) -> None:
    """Check every value of a sweep once, each beside the first values of the others.

    Raises:
        UserError: for the first mistake in any of them.
    """
    with _hydra() as loader:
        parsed = _parse(overrides, loader)
        choices = [_values(override) for override in parsed]
        first = [values[0] for values in choices]
        _compose(_parse(first, loader), loader)
        for place, values in enumerate(choices):
            for value in values[1:]:
                _compose(_parse([*first[:place], value, *first[place + 1 :]], loader), loader)


def resolved(config: DictConfig) -> dict[str, Any]:
    """Plain containers, interpolations resolved.

    Raises:
        UserError: where a value is missing or refers to nothing.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key
        raise UserError(f"{key}: expected a value; got none. Type {key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _hydra() -> Iterator[ConfigLoader]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"):
        yield GlobalHydra.instance().config_loader()


def _parse(overrides: Sequence[str], loader: ConfigLoader) -> list[Override]:
    parsed = []
    for word in overrides:
        try:
            parsed += OverridesParser.create(config_loader=loader).parse_overrides([word])
        except HydraException as error:
            raise UserError(f"{word!r}: expected KEY=VALUE, as in optimizer.lr=1e-3; {_first_line(error)}") from error
    return parsed


def _values(override: Override) -> list[str]:
    """The overrides that a sweep over one key is made of."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.key_or_group}: expected values, a choice, a range or a glob; got an interval.")
    values = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise UserError(f"{override.input_line}: expected at least one match; got none.")
    return values


def _compose(parsed: Sequence[Override], loader: ConfigLoader, *, data_too: bool = True) -> Request:
    groups = _groups(loader)
    for override in parsed:
        _check_option(override, loader, groups)
    words = [str(override.input_line) for override in parsed]
    try:
        config = hydra_compose(MAIN, words)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        _explain(parsed, groups, error)
    request = Request(config=resolved(config), experiment=_experiment(parsed), overrides=words)
    check(request.config, data_too=data_too)
    return request


def _groups(loader: ConfigLoader) -> list[str]:
    # hydra's own groups stay reachable, but are no hint for a mistyped word
    return [group for group in loader.list_groups("") if group != "hydra"]


def _options(group: str, loader: ConfigLoader) -> list[str]:
    return loader.get_group_options(group, ObjectType.CONFIG)


def _experiment(parsed: Sequence[Override]) -> str:
    named = [override.value() for override in parsed if override.key_or_group == "experiment"]
    return str(named[-1]) if named and named[-1] is not None else "default"


def _check_option(override: Override, loader: ConfigLoader, groups: Sequence[str]) -> None:
    group, value = override.key_or_group, override.value()
    if override.is_sweep_override():
        raise UserError(f"{group}: expected one value; got {override.input_line!r}. For a sweep, type -m.")
    if group not in groups or override.is_delete():
        return
    options = _options(group, loader)
    wanted = value if isinstance(value, list) else [value]
    for name in wanted:
        if str(name) not in options and not (name is None and group == "experiment"):
            raise UserError(
                f"{group}: expected one of {one_of(options)}; got {str(name)!r}."
                + did_you_mean(str(name), options, before=f"{group}=")
            )


def _explain(parsed: Sequence[Override], groups: Sequence[str], error: Exception) -> NoReturn:
    """Turn Hydra's complaint into one line: most often a key that is not there."""
    choices = [str(o.input_line) for o in parsed if o.key_or_group in groups]
    try:
        config = hydra_compose(MAIN, choices)
    except (HydraException, OmegaConfBaseException, YAMLError):
        raise UserError(_first_line(error)) from error
    keys = list(_keys(config))
    for override in parsed:
        key = override.key_or_group
        if key in groups or key in keys or override.is_add() or key.startswith("hydra."):
            continue
        value = str(override.input_line).partition("=")[2]
        parent = key.rpartition(".")[0]
        inside = [k for k in keys if parent and k.rpartition(".")[0] == parent and not k.endswith("_")]
        known = f"expected {one_of(k.rpartition('.')[2] for k in inside)} in {parent}; " if inside else ""
        raise UserError(
            f"{key}: no such key; {known}got {override.input_line!r}."
            + did_you_mean(key, inside or [*keys, *groups], after=f"={value}")
        ) from error
    raise UserError(_first_line(error)) from error


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in map(str, config):
        key = f"{prefix}{name}"
        yield key
        if not OmegaConf.is_interpolation(config, name) and OmegaConf.is_dict(config._get_node(name)):
            yield from _keys(config[name], f"{key}.")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[0]) if lines else type(error).__name__
