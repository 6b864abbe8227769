"""From words on the command line to one resolved, checked configuration, before torch is imported."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean, first_line, one_of, shown
from copycat.config.mistakes import mistake
from copycat.config.places import CONF, MAIN
from copycat.config.rules import check
from copycat.config.words import each_value, groups_of, options_of, parse

MERGED = ("callbacks", "logger", "experiment")
"""Groups that take several options at once: of the others, two would mix into something that is neither."""
COPYCATS_OWN = {
    "hydra.mode": "Type -m for a sweep",
    "hydra.run.dir": "Type output_dir=FOLDER",
    "hydra.sweep.dir": "Type output_dir=FOLDER",
    "hydra.sweep.subdir": "Type output_dir=FOLDER",
    "hydra.output_subdir": "Type output_dir=FOLDER",
    "hydra.job.chdir": "Type output_dir=FOLDER",
}
"""Keys of Hydra's that would make folders beside the run folder, with what to type instead."""


ALL_CHECKED = 64
"""Trials of a sweep that are all composed before the first runs: each takes some hundredths of a second."""


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
        parsed = parse(overrides, loader)
        config = resolved(_composed(parsed, loader))
    check(config, data_too=data_too)
    return Request(config=config, experiment=experiment_of(parsed), overrides=_lines(parsed))


def check_trials(overrides: Sequence[str]) -> Mapping[str, Any]:
    """Check every trial of a small sweep, and of a large one every value, beside the first values of the others.

    Returns:
        The first trial's configuration.

    Raises:
        UserError: for the first mistake in any of them.
    """
    with _hydra() as loader:
        choices = [each_value(override) for override in parse(overrides, loader)]
        if prod(map(len, choices)) <= ALL_CHECKED:
            trials = [list(words) for words in product(*choices)]
        else:
            first = [values[0] for values in choices]
            trials = [first]
            for place, values in enumerate(choices):
                trials += [[*first[:place], value, *first[place + 1 :]] for value in values[1:]]
        configs = [resolved(_composed(parse(trial, loader), loader)) for trial in trials]
    for config in configs:
        check(config)
    return configs[0]


def check_words(overrides: Sequence[str]) -> None:
    """Check that the words name options and keys, whatever the values.

    Raises:
        UserError: for the first that does not.
    """
    with _hydra() as loader:
        _composed(parse(overrides, loader), loader)


def as_hydra_reads(overrides: Sequence[str]) -> tuple[list[str], str]:
    """The words, quoted where Hydra needs it, and the experiment that they name."""
    with _hydra() as loader:
        parsed = parse(overrides, loader)
        return _lines(parsed), experiment_of(parsed)


def experiment_of(parsed: Sequence[Override]) -> str:
    """What runs are filed under: `a+b` where two are merged, `sweep` where -m takes several in turn."""
    named = [override for override in parsed if override.key_or_group == "experiment" and not override.is_delete()]
    if not named:
        return "default"
    if named[-1].is_sweep_override():
        return "sweep"
    value = named[-1].value()
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


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
        raise UserError(
            f"{error.full_key}: expected a value, or a ${{KEY}} that is there; {first_line(error)}."
        ) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _hydra() -> Iterator[ConfigLoader]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"):
        yield GlobalHydra.instance().config_loader()


def _lines(parsed: Sequence[Override]) -> list[str]:
    return [str(override.input_line) for override in parsed]


def _composed(parsed: Sequence[Override], loader: ConfigLoader) -> DictConfig:
    for override in parsed:
        _check_override(override, loader)
    try:
        return hydra_compose(MAIN, _lines(parsed))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise mistake(parsed, groups_of(loader), error) from error


def _check_override(override: Override, loader: ConfigLoader) -> None:
    group = override.key_or_group
    if override.is_sweep_override():
        raise UserError(f"{group}: expected one value; got {override.input_line!r}. For a sweep, type -m.")
    if group in COPYCATS_OWN:
        raise UserError(f"{group}: expected nothing, as Copycat sets it; got a value. {COPYCATS_OWN[group]}.")
    if override.is_delete() or not (group in groups_of(loader) or "/" in group):
        return
    value = override.value()
    merged = isinstance(value, list) and group in MERGED
    for name in value if merged and isinstance(value, list) else [value]:
        inside, _, last = f"{group}/{name}".rpartition("/")
        if last in options_of(inside, loader):
            continue
        options = options_of(group, loader)
        if not options:
            raise UserError(f"{group}: no such group; got {override.input_line!r}.")
        hint = did_you_mean(str(name), options, before=f"{group}=")
        raise UserError(f"{group}: expected one of {one_of(options)}; got {shown(name)}.{hint}")
