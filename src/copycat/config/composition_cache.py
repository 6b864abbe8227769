"""Many configurations of one sweep: Hydra reads the files of what they choose once, and values are set on copies."""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from copycat.config.errors import UserError
from copycat.config.search_space import flat
from copycat.config.suggestions import first_line

MOST = 64
"""Choices that are kept at once: a sweep may try hundreds of experiments, each once."""


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A configuration as Hydra composes it, in plain containers, and what its own node says of it."""

    config: dict[str, Any]
    """Without Hydra's node."""
    experiment: str | None
    sweeper: Mapping[str, Any]
    launcher: Mapping[str, Any]
    """Hydra's nodes of these names."""


def apart(whole: DictConfig, *, axes: Iterable[str] | None = None) -> Composed:
    """Take Hydra's node out of a configuration.

    Args:
        axes: keys that vary in the sweep whose trials share it: one without a default is null; None: of a trial.

    Raises:
        UserError: where a value is missing or refers to nothing.
    """
    if axes is not None:
        presets = [node.get("params") for node in (whole.sweep, whole.hydra.sweeper)]
        keys = [key.lstrip("+~") for preset in presets if isinstance(preset, DictConfig) for key in flat(preset)]
        _set_missing_to_null(whole, [*axes, *keys])
    sweeper, launcher = resolved(whole.hydra.sweeper), resolved(whole.hydra.launcher)
    experiment = whole.hydra.runtime.choices.get("experiment")
    with open_dict(whole):
        del whole["hydra"]
    name = str(experiment) if experiment else None
    return Composed(config=resolved(whole), experiment=name, sweeper=sweeper, launcher=launcher)


def _set_missing_to_null(config: DictConfig, keys: Iterable[str]) -> None:
    for parent, _, name in (key.rpartition(".") for key in keys):
        node = OmegaConf.select(config, parent) if parent else config
        if isinstance(node, DictConfig) and OmegaConf.is_missing(node, name):
            with open_dict(node):
                node[name] = None


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


@dataclass(frozen=True)
class _Chosen:
    """What options make of a configuration, before values are set."""

    content: bytes
    """The configuration, pickled: a deep copy of OmegaConf's takes ten times as long."""
    tree: Any
    """The same in plain containers, nothing resolved."""
    references: str
    """All that it refers to."""

    def leaves_alone(self, key: str, value: object, *, typed: str) -> bool:
        """Whether nothing but the key's own value changes where it is set: a plain one, which nothing refers to.

        Args:
            typed: values that were typed and refer to others.
        """
        found, names = self.tree, key.split(".")
        for name in names:
            if not isinstance(found, dict) or name not in found:
                return False
            found = found[name]
        if any(isinstance(one, (dict, list)) or _REFERS in str(one) or one == _MISSING for one in (found, value)):
            return False
        references = f"{self.references} {typed}"
        return not (_NESTED.search(references) or any(name in references for name in names))


_MISSING, _REFERS = "???", "${"
_NESTED = re.compile(r"\$\{[^}]*\$\{")
"""A reference to what another one names."""


class Copies:
    """Args:
    compose: composes overrides from the files, Hydra's node included, and says what is wrong with them.
    groups: whose overrides choose a file.
    """

    def __init__(self, compose: Callable[[Sequence[Override]], DictConfig], *, groups: Sequence[str]) -> None:
        self._compose, self._groups = compose, groups
        self._chosen: dict[tuple[str, ...], _Chosen] = {}
        self._resolved: dict[tuple[bool, tuple[str, ...]], bytes] = {}

    def composed(self, parsed: Sequence[Override], *, axes: Iterable[str] | None = None) -> Composed:
        """What `compose` makes of the overrides, in a hundredth of the time where all but values that nothing refers to
        were resolved before.

        Args:
            axes: as `apart` takes them.
        """
        if any(override.is_delete() for override in parsed):  # what comes before it, and what after, is not the same
            return apart(self._compose(parsed), axes=axes)
        values = [override for override in parsed if self._is_value(override)]
        chosen = self._choose([override for override in parsed if override not in values])
        typed = " ".join(line for line in (str(override.input_line) for override in values) if _REFERS in line)
        free = [override for override in values if self._is_free(override, parsed, chosen, typed=typed)]
        words = words_of([override for override in parsed if override not in free])
        known = (axes is not None, words)
        if known not in self._resolved:
            config: DictConfig = pickle.loads(chosen.content)
            try:
                ConfigLoaderImpl._apply_overrides_to_config([o for o in values if o not in free], config)
            except HydraException:  # of which `compose` knows what to say
                return apart(self._compose(parsed), axes=axes)
            if len(self._resolved) == MOST:
                self._resolved.clear()
            self._resolved[known] = pickle.dumps(apart(config, axes=axes))
        found: Composed = pickle.loads(self._resolved[known])
        for override in free:
            *names, last = override.key_or_group.split(".")
            node = found.config
            for name in names:
                node = node[name]
            node[last] = override.value()
        return found

    def _choose(self, choices: Sequence[Override]) -> _Chosen:
        words = words_of(choices)
        if words not in self._chosen:
            if len(self._chosen) == MOST:
                self._chosen.clear()
            whole = self._compose(choices)
            content, tree = pickle.dumps(whole), OmegaConf.to_container(whole)
            assert isinstance(tree, dict)
            hydra = tree.pop("hydra")
            leaves = _leaves([tree, hydra["sweeper"], hydra["launcher"]])
            references = " ".join(value for value in leaves if _REFERS in value)
            self._chosen[words] = _Chosen(content, tree, references)
        return self._chosen[words]

    def _is_value(self, override: Override) -> bool:
        """Whether it is set once all files are read: Hydra's own keys may have a say in which these are."""
        key = override.key_or_group
        return not (key in self._groups or "/" in key or key.startswith("hydra.") or override.package)

    def _is_free(self, override: Override, among: Sequence[Override], chosen: _Chosen, *, typed: str) -> bool:
        """Whether a value can be set last, on what is resolved."""
        if override.is_add() or override.is_force_add():
            return False
        key = override.key_or_group
        around = (other.key_or_group for other in among if other.key_or_group != key)
        if any(f"{key}.".startswith(f"{other}.") for other in around if other not in self._groups):
            return False
        return chosen.leaves_alone(key, override.value(), typed=typed)


def _leaves(tree: Any) -> Iterator[str]:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    if inner is None:
        yield str(tree)
        return
    for value in inner:
        yield from _leaves(value)
