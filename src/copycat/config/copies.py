"""Many configurations of one sweep: Hydra reads the files of what they choose once, and values are set on copies."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from copycat.config.errors import UserError
from copycat.config.hints import first_line

MOST = 64
"""Choices that are kept at once: a sweep may try hundreds of experiments, each once."""


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A configuration as Hydra composes it, and what its own node says of it."""

    config: DictConfig
    """Without Hydra's node."""
    experiment: str | None
    sweeper: Mapping[str, Any]
    launcher: Mapping[str, Any]
    """Hydra's nodes of these names."""


def apart(whole: DictConfig) -> Composed:
    """Take Hydra's node out of a configuration.

    Raises:
        UserError: where a value of it is missing or refers to nothing.
    """
    sweeper, launcher = resolved(whole.hydra.sweeper), resolved(whole.hydra.launcher)
    experiment = whole.hydra.runtime.choices.get("experiment")
    with open_dict(whole):
        del whole["hydra"]
    name = str(experiment) if experiment else None
    return Composed(config=whole, experiment=name, sweeper=sweeper, launcher=launcher)


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


def words_of(parsed: Sequence[Override]) -> tuple[str, ...]:
    """As they are read, Hydra's own first: in whatever order these are among the others, they say the same."""
    hydras_own = [override.key_or_group.startswith(("hydra.", "hydra/")) for override in parsed]
    order = sorted(range(len(parsed)), key=lambda place: not hydras_own[place])
    return tuple(str(parsed[place].input_line) for place in order)


class Copies:
    """Args:
    compose: composes overrides from the files, Hydra's node included, and says what is wrong with them.
    groups: whose overrides choose a file.
    """

    def __init__(self, compose: Callable[[Sequence[Override]], DictConfig], *, groups: Sequence[str]) -> None:
        self._compose, self._groups = compose, groups
        self._kept: dict[tuple[str, ...], tuple[Composed, bytes]] = {}

    def composed(self, parsed: Sequence[Override]) -> Composed:
        """What `compose` makes of the overrides, in a twentieth of the time where their choices were made before."""
        if any(override.is_delete() for override in parsed):  # what comes before it, and what after, is not the same
            return apart(self._compose(parsed))
        choices = [override for override in parsed if not self._is_value(override)]
        words = words_of(choices)
        if words not in self._kept:
            if len(self._kept) == MOST:
                self._kept.clear()
            found = apart(self._compose(choices))
            self._kept[words] = found, pickle.dumps(found.config)
        found, content = self._kept[words]
        config: DictConfig = pickle.loads(content)  # a deep copy of OmegaConf's takes ten times as long
        try:
            ConfigLoaderImpl._apply_overrides_to_config([o for o in parsed if self._is_value(o)], config)
        except HydraException:  # of which `compose` knows what to say
            return apart(self._compose(parsed))
        return replace(found, config=config)

    def _is_value(self, override: Override) -> bool:
        """Whether it is set once all files are read: Hydra's own keys may have a say in which these are."""
        key = override.key_or_group
        return not (key in self._groups or "/" in key or key.startswith("hydra.") or override.package)
