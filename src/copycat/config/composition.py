"""Compose overrides by Hydra, and convert the result to plain containers."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from copycat.config.dotted_keys import flatten
from copycat.config.errors import UserError
from copycat.config.mistakes import explain_composition_error
from copycat.config.options import missing_target
from copycat.config.overrides import check_override, input_lines
from copycat.config.places import CONF, MAIN
from copycat.config.process_lock import process_lock
from copycat.config.renamed_keys import check_renamed_keys
from copycat.config.rules import TARGET_GROUPS
from copycat.config.suggestions import first_line


@contextmanager
def open_loader() -> Iterator[ConfigLoaderImpl]:
    """Initialize Hydra on the packaged conf/, and in the end restore the instance that a sweep has around it."""
    with process_lock():
        instance = GlobalHydra.instance()
        outer, instance.hydra = instance.hydra, None
        try:
            with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"):
                loader = instance.config_loader()
                assert isinstance(loader, ConfigLoaderImpl)
                yield loader
        finally:
            instance.hydra = outer


def compose_config(parsed: Sequence[Override], loader: ConfigLoaderImpl, *, of_trial: bool = False) -> DictConfig:
    """Compose overrides; raise a UserError that explains the first mistake.

    `of_trial` keeps Hydra's own node, and accepts keys that only Copycat sets, such as the trial's folder.
    """
    for override in parsed if not of_trial else ():
        check_override(override, loader)
    try:
        return hydra_compose(MAIN, input_lines(parsed), return_hydra_config=of_trial)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise explain_composition_error(parsed, loader, error) from error
    except RecursionError as error:
        raise UserError("expected options that compose; got one whose defaults lead back to itself.") from error


def resolve(config: DictConfig) -> dict[str, Any]:
    """Convert a configuration to plain containers; raise a UserError where a value is missing or refers to nothing."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key
        raise UserError(f"{key}: expected a value; got none. Type {key}=VALUE.") from error
    except OmegaConfBaseException as error:
        for group in TARGET_GROUPS:  # an option without a target lacks the keys that others refer to, too
            if isinstance(node := config.get(group), DictConfig) and "_target_" not in node:
                raise missing_target(group) from error
        message = f"{error.full_key}: expected a value, or a ${{KEY}} that is there; {first_line(error)}."
        raise UserError(message) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@dataclass(frozen=True, kw_only=True)
class Composed:
    """Hold a resolved composition in plain containers, apart from Hydra's own node."""

    config: dict[str, Any]
    """Without Hydra's node."""
    experiment: str | None
    sweeper: Mapping[str, Any]
    """The node `hydra.sweeper`."""
    launcher: Mapping[str, Any]
    """The node `hydra.launcher`."""


def split_hydra_node(whole: DictConfig, *, axes: Iterable[str] | None = None) -> Composed:
    """Split Hydra's node from a composition, and resolve both.

    Args:
        whole: the composition; Hydra's node is removed from it.
        axes: keys that vary in the sweep whose trials share the configuration: those without a default become null.
            None for the configuration of one trial.
    """
    if axes is not None:
        _set_missing_to_null(whole, keep_references(whole, axes))
    sweeper, launcher = resolve(whole.hydra.sweeper), resolve(whole.hydra.launcher)
    experiment = whole.hydra.runtime.choices.get("experiment")
    with open_dict(whole):
        del whole["hydra"]
    name = str(experiment) if experiment else None
    return Composed(config=resolve(whole), experiment=name, sweeper=sweeper, launcher=launcher)


def keep_references(whole: DictConfig, axes: Iterable[str]) -> list[str]:
    """Let values of presets refer to keys that vary: each trial resolves them, as it does those that are typed.

    Return the keys that vary: `axes`, which are typed, and those of presets.
    """
    nodes = [node for node in (whole.sweep, whole.hydra.sweeper) if isinstance(node.get("params"), DictConfig)]
    presets: list[Any] = [OmegaConf.to_container(node.params) for node in nodes]
    keys = [*axes, *(key.lstrip("+~") for preset in presets for key in flatten(preset))]
    reference = re.compile(rf"(?<!\\)\$\{{({'|'.join(map(re.escape, keys))})\}}")
    for node, preset in zip(nodes, presets, strict=True):
        with flag_override(node, ["readonly", "struct"], False):
            node.params = _escape(preset, reference)
    return keys


def _escape(tree: Any, reference: re.Pattern[str]) -> Any:
    if isinstance(tree, dict):
        return {name: _escape(value, reference) for name, value in tree.items()}
    return reference.sub(r"\\\g<0>", tree) if isinstance(tree, str) else tree


def _set_missing_to_null(config: DictConfig, keys: Iterable[str]) -> None:
    for parent, _, name in (key.rpartition(".") for key in keys):
        node = OmegaConf.select(config, parent) if parent else config
        if isinstance(node, DictConfig) and OmegaConf.is_missing(node, name):
            with open_dict(node):
                node[name] = None


def split_sweep_node(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a configuration into that of a run and the node `sweep`; raise a UserError for a key under an old name."""
    check_renamed_keys(config)
    return {name: value for name, value in config.items() if name != "sweep"}, config.get("sweep") or {}
