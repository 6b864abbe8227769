"""Explain in one line why Hydra cannot compose some overrides."""

from collections.abc import Iterator, Sequence
from shlex import quote

from hydra import compose as hydra_compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import GroupDefault
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from copycat.config.combinations import MANAGED_TRAINER_KEYS, describe_managed_key
from copycat.config.errors import UserError
from copycat.config.familiar_words import familiar_key
from copycat.config.options import is_ours
from copycat.config.overrides import input_lines, list_groups, list_options
from copycat.config.places import MAIN
from copycat.config.renamed_keys import renamed_key_error
from copycat.config.suggestions import did_you_mean, first_line, nearest_word, one_of
from copycat.config.validation import NO_PACKAGE, SWEEP_DEFAULTS

SWEEP_KEY_HINTS = {
    "hydra.sweeper.": " For a search, type hydra/sweeper=optuna.",
    "hydra.launcher.": " For worker processes, type hydra/launcher=processes.",
}
"""Prefixes of Hydra's keys that users type, with the hint that names the option with more of them."""

SURE = 0.75
"""Similarity above which a key is taken for a mistyped one."""


def explain_composition_error(parsed: Sequence[Override], loader: ConfigLoaderImpl, error: Exception) -> UserError:
    """Return the error for overrides that do not compose.

    The usual cause is an unknown key: the chosen options alone compose, and show which keys exist.
    """
    groups = list_groups(loader)
    choices = [o for o in parsed if o.key_or_group in groups or "/" in o.key_or_group]
    for override in choices:
        if override.key_or_group.startswith("hydra/sweeper/") and "hydra/sweeper=optuna" not in input_lines(choices):
            return UserError(f"{override.key_or_group}: expected a search. Type hydra/sweeper=optuna too.")
    try:
        config, composed = _compose_choices(choices)
    except YAMLError as broken:
        return UserError(_explain_yaml_error(broken))
    except (HydraException, OmegaConfBaseException, ValueError) as broken:
        if "@experiment." in first_line(broken):  # Hydra looks for its groups below that of the experiment
            return UserError(NO_PACKAGE)
        return _renamed_group(choices, loader) or UserError(f"expected options that compose; {first_line(broken)}.")
    keys = {name: leaf for name, leaf in _keys(config) if _is_user_key(name)}
    for override in parsed:
        key = override.key_or_group
        if override in composed or not _is_user_key(key):
            continue
        if override.is_add() and not override.is_force_add() and key in keys:
            word = str(override.input_line).lstrip("+")
            return UserError(f"{key}: expected a key that is not there yet; got {override.input_line!r}. Type {word}.")
        if key not in keys and not override.is_add():
            return _no_such_key(override, keys, config, loader)
        if isinstance(override.value(), dict) and not override.is_add():
            line = str(override.input_line)
            return UserError(
                f"{key}: expected keys that are there; got {line!r}. To add one, type {quote('+' + line)}."
            )
        if override.is_delete():
            return UserError(f"{key}: expected a key with a value; got {override.input_line!r}. Type {key}=null.")
    return UserError(f"expected overrides that compose; {first_line(error)}.")


def _compose_choices(choices: Sequence[Override]) -> tuple[DictConfig, Sequence[Override]]:
    """Compose the chosen options, and return those that composed.

    A nested option, such as `model/backbone=…`, is left out where no chosen option has such a group.
    """
    try:
        return hydra_compose(MAIN, input_lines(choices), return_hydra_config=True), choices
    except HydraException:
        outer = [o for o in choices if "/" not in o.key_or_group or o.key_or_group.startswith("hydra/")]
        if len(outer) == len(choices):
            raise
        return hydra_compose(MAIN, input_lines(outer), return_hydra_config=True), outer


def _renamed_group(choices: Sequence[Override], loader: ConfigLoaderImpl) -> UserError | None:
    """Return the error for a chosen file whose defaults list has the old name of a group; else None."""
    for choice in choices:
        group, value = choice.key_or_group, choice.value()
        for name in value if isinstance(value, list) else [value]:
            file = loader.repository.load_config(f"{group}/{name}")
            for default in (file.defaults_list if file else None) or ():
                inner = default.group if isinstance(default, GroupDefault) else None
                path = inner.lstrip("/") if inner and inner.startswith("/") else f"{group}/{inner}"
                if inner and (answer := renamed_key_error(path)):
                    return answer
    return None


def _no_such_key(override: Override, keys: dict[str, bool], config: DictConfig, loader: ConfigLoaderImpl) -> UserError:
    key, line = override.key_or_group, str(override.input_line)
    if answer := renamed_key_error(key):
        return answer
    group, _, last = key.partition(".")
    if group == "trainer" and last in MANAGED_TRAINER_KEYS:
        return UserError(describe_managed_key(last, override.value()))
    leaves = [name for name, leaf in keys.items() if leaf and not name.endswith("_")]
    ours = [name for name in leaves if not name.startswith("hydra.")]
    parent = key.rpartition(".")[0]
    inside = [name for name in leaves if parent and name.rpartition(".")[0] == parent]
    if keys.get(parent) is False and not any(name.startswith(f"{parent}.") for name in keys):
        return UserError(f"{key}: no such key in {parent} yet; got {line!r}. To add it, type {quote('+' + line)}.")
    known = f"expected {one_of(name.rpartition('.')[2] for name in inside)} in {parent}; " if inside else ""
    after = line[line.find("=") :]
    if key.startswith(tuple(SWEEP_KEY_HINTS)):
        hint = familiar_key(key, after[1:]) or did_you_mean(key, inside, after=after)
        hint = hint or next(text for prefix, text in SWEEP_KEY_HINTS.items() if key.startswith(prefix))
    elif "." in key:  # a group takes an option, so suggest none for a dotted key
        hint = _other_options(key, line, loader) or familiar_key(key, after[1:])
        if not hint and not nearest_word(key, inside or ours, above=SURE):
            hint = _pass_on(parent, line, config)
        hint = hint or did_you_mean(key, inside or ours, after=after)
    else:
        groups = {group: list_options(group, loader) for group in list_groups(loader)}
        having = [group for group, options in groups.items() if after[1:] in options]
        hint = did_you_mean(key, [g for g in groups if nearest_word(after[1:], groups[g])], after=after)
        if not hint and len(having) == 1:
            hint = f" Did you mean {having[0]}{after}?"
        hint = familiar_key(key, after[1:]) or hint or did_you_mean(key, [*ours, *groups], after=after)
    return UserError(f"{key}: no such key; {known}got {line!r}.{hint if '=' in line else ''}")


def _pass_on(parent: str, line: str, config: DictConfig) -> str:
    """Return a hint how to pass a further key to a class that is not of Copycat, whose options name all."""
    target = OmegaConf.select(config, f"{parent}._target_")
    return f" To pass it on to {target}, type {quote('+' + line)}." if target and not is_ours(target) else ""


def _other_options(key: str, line: str, loader: ConfigLoaderImpl) -> str:
    """Return a hint that names the options of the group that have the key; empty where none has."""
    group, _, inside = key.partition(".")
    if group not in list_groups(loader):
        return ""
    found: dict[str, DictConfig] = {}
    for option in list_options(group, loader):
        file = loader.repository.load_config(f"{group}/{option}")
        if file and isinstance(file.config, DictConfig) and inside in dict(_keys(file.config)):
            found[option] = file.config
    if not found:
        return ""
    if group == "sweep":  # whose options all have the keys of the default, beside their own axes
        return f" {SWEEP_DEFAULTS}"
    first, config = next(iter(found.items()))
    missing = [
        f"{group}.{name}=VALUE" for name in map(str, config) if name != inside and OmegaConf.is_missing(config, name)
    ]
    words = " ".join([f"{group}={first}", *missing, quote(line)])
    return f" It is a key of {group}={one_of(found, most=4)}. Type {words}."


def _is_user_key(key: str) -> bool:
    """Return whether users type such a key: one of ours, or of Hydra's sweeper and launcher."""
    return not key.startswith("hydra") or key.startswith(tuple(SWEEP_KEY_HINTS))


def _keys(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each dotted key, and whether it holds a value rather than further keys."""
    for name in map(str, config):
        node = config._get_node(name)
        inner = not OmegaConf.is_interpolation(config, name) and OmegaConf.is_dict(node)
        yield f"{prefix}{name}", not inner
        if isinstance(node, DictConfig) and inner and not node._is_none():
            yield from _keys(node, f"{prefix}{name}.")


def _explain_yaml_error(error: YAMLError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name.removeprefix('file://')}, line {mark.line + 1}: expected YAML; {error.problem}."
    return f"expected YAML; {first_line(error)}."
