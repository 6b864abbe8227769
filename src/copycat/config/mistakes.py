"""What is wrong with words that Hydra can't compose, as the one line that a user reads."""

from collections.abc import Iterator, Sequence

from hydra import compose as hydra_compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean, first_line, one_of
from copycat.config.places import MAIN


def mistake(parsed: Sequence[Override], groups: Sequence[str], error: Exception) -> UserError:
    """Most often a key that is not there: the same choices without the keys compose, and show which there are."""
    try:
        config = hydra_compose(MAIN, [str(o.input_line) for o in parsed if o.key_or_group in groups])
    except YAMLError as broken:
        return UserError(_where(broken))
    except (HydraException, OmegaConfBaseException, ValueError) as broken:
        return UserError(f"expected options that compose; {first_line(broken)}.")
    keys = dict(_keys(config))
    for override in parsed:
        key = override.key_or_group
        if key in groups or key.startswith("hydra"):
            continue
        if override.is_add() and not override.is_force_add() and key in keys:
            word = str(override.input_line).lstrip("+")
            return UserError(f"{key}: expected a key that is not there yet; got {override.input_line!r}. Type {word}.")
        if key not in keys and not override.is_add():
            return _no_such_key(override, keys, groups)
        if override.is_delete():
            return UserError(f"{key}: expected a key with a value; got {override.input_line!r}. Type {key}=null.")
    return UserError(f"expected words that compose; {first_line(error)}.")


def _no_such_key(override: Override, keys: dict[str, bool], groups: Sequence[str]) -> UserError:
    key, line = override.key_or_group, str(override.input_line)
    leaves = [name for name, leaf in keys.items() if leaf and not name.endswith("_")]
    parent = key.rpartition(".")[0]
    inside = [name for name in leaves if parent and name.rpartition(".")[0] == parent]
    known = f"expected {one_of(name.rpartition('.')[2] for name in inside)} in {parent}; " if inside else ""
    # a group takes an option, so it is no hint for a dotted key
    hint = did_you_mean(key, inside or (leaves if "." in key else [*leaves, *groups]), after=line[line.find("=") :])
    return UserError(f"{key}: no such key; {known}got {line!r}.{hint if '=' in line else ''}")


def _keys(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each key, and whether it holds a value rather than keys."""
    for name in map(str, config):
        node = config._get_node(name)
        inner = not OmegaConf.is_interpolation(config, name) and OmegaConf.is_dict(node)
        yield f"{prefix}{name}", not inner
        if isinstance(node, DictConfig) and inner and not node._is_none():
            yield from _keys(node, f"{prefix}{name}.")


def _where(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name.removeprefix('file://')}, line {mark.line + 1}: expected YAML; {error.problem}."
    return f"expected YAML; {first_line(error)}."
