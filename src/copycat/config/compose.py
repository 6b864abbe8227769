"""Compose command-line overrides into one resolved, validated configuration, before torch is imported."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from copycat.config.composition_cache import Composed, CompositionCache, cache_key, resolve
from copycat.config.errors import UserError
from copycat.config.mistakes import explain_composition_error
from copycat.config.overrides import list_groups, list_options, parse_overrides
from copycat.config.own_modules import allow_own_modules
from copycat.config.places import CONF, MAIN
from copycat.config.renamed_keys import check_renamed_keys, renamed_key_error
from copycat.config.rules import check_config, check_hydra, check_sweep_settings, check_value, find_rule
from copycat.config.search_space import SearchSpace, build_search_space
from copycat.config.searches import check_search
from copycat.config.suggestions import did_you_mean, format_value, one_of

ALTERNATIVE_HINTS = {
    "model": " For a network of torchvision or timm, type model=torchvision model.name={0}, or model=timm.",
    "data": " For a folder of images, type data=folder data.root={0}.",
}
"""Hint for an option that resembles no option of its group."""
MULTIPLE_CHOICE_GROUPS = ("callbacks", "logger", "experiment")
"""Groups that take several options at once. In other groups, two options would merge into an invalid node."""
MANAGED_KEYS = {
    "hydra.mode": "Type -m for a sweep",
    "hydra.run.dir": "Type output_dir=FOLDER",
    "hydra.sweep.dir": "Type output_dir=FOLDER",
    "hydra.sweep.subdir": "Type output_dir=FOLDER",
    "hydra.output_subdir": "Type output_dir=FOLDER",
    "hydra.job.chdir": "Type output_dir=FOLDER",
}
"""Keys of Hydra that would create folders beside the run folder, with a hint for each."""
TRIAL_FOLDER_KEYS = ("hydra.sweep.dir", "hydra.sweep.subdir")
"""Keys of Hydra that hold a trial's folder."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Hold the request for one run: with the code and the data, all that reproduces it."""

    config: Mapping[str, Any]
    """The whole resolved configuration in plain containers."""
    experiment: str = "default"
    overrides: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Hold the request for one trial of a sweep."""

    config: Mapping[str, Any]
    """The whole configuration of its run, resolved and validated."""
    experiment: str
    settings: Mapping[str, Any]
    """The node `sweep`."""
    sweeper: Mapping[str, Any]
    """Hydra's node of that name."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """Hold the request for a sweep."""

    first: Request
    """Its first trial."""
    shared: Mapping[str, Any]
    """The configuration that all trials share; keys that vary have their defaults."""
    settings: Mapping[str, Any]
    """The node `sweep`."""
    sweeper: Mapping[str, Any]
    """Hydra's node of that name."""
    space: SearchSpace
    words: Sequence[str]


def compose(overrides: Sequence[str] = (), *, check_data: bool = True) -> Request:
    """Compose and validate one run.

    Args:
        overrides: in Hydra's grammar, such as `optimizer.lr=1e-3`.
        check_data: check the network's input against the data; off to inspect a network without data.

    Raises:
        UserError: for the first mistake, with the nearest valid word.
    """
    with _hydra() as loader:
        parsed = parse_overrides(overrides, loader)
        config, settings = _split_sweep_node(resolve(_compose(parsed, loader)))
    if settings.get("params"):
        raise UserError("sweep.params: expected one run, where nothing varies; got a sweep. Type -m before its words.")
    check_config(config, check_data=check_data)
    return Request(config=config, experiment=experiment_name(parsed), overrides=_input_lines(parsed))


def compose_sweep(overrides: Sequence[str]) -> SweepRequest:
    """Compose a sweep and validate its trials before the first one runs.

    All trials of a small sweep are composed. Of a large one, each value is composed with the first value of the other
    axes.

    Raises:
        UserError: for the first mistake in any of them.
    """
    with _hydra() as loader:
        parsed = parse_overrides(overrides, loader)
        fixed = [override for override in parsed if not override.is_sweep_override()]
        for override in fixed:
            _check_override(override, loader)
        _composition_cache.cache_clear()  # files may have changed since this process composed another sweep
        _composed_trials.clear()
        _parsed_values.clear()
        whole = _composition_cache().compose(fixed, axes=[o.key_or_group for o in parsed if o.is_sweep_override()])
        sweeper = whole.sweeper
        shared, settings = _split_sweep_node(whole.config)
        check_sweep_settings(settings)
        check_hydra({"sweeper": sweeper, "launcher": whole.launcher})
        params = sweeper.get("params") or {}
        space = build_search_space(_input_lines(parsed), sweep=settings, params=params, loader=loader)
        if "sampler" in sweeper:
            check_search(sweeper, settings, space)
        else:
            for axis in space.axes.values():
                axis.choices()
        first = _check_trials(space, loader)
    first = replace(first, experiment=experiment_name(parsed))
    return SweepRequest(
        first=first, shared=shared, settings=settings, sweeper=sweeper, space=space, words=_input_lines(parsed)
    )


def _check_trials(space: SearchSpace, loader: ConfigLoader) -> Request:
    """Validate the sampled trials, cheapest checks first, and return the request for the first trial.

    Raises:
        UserError: for the first mistake in any of them.
    """
    fixed = parse_overrides(space.fixed, loader)
    for override in fixed:
        _check_override(override, loader)
    samples = space.sample_trials()
    words_of_axes = [word for axis in space.axes.values() for word in axis.sample_values()]
    values = dict(zip(words_of_axes, parse_overrides(words_of_axes, loader), strict=True))
    _parsed_values.update(values)
    for override in values.values():  # the cheapest check: no configuration file is composed yet
        _check_override(override, loader)
    first: Request | None = None
    for words in samples:
        parsed = [*fixed, *(values[word] for word in words)]
        trial = _compose_sample(parsed, space)
        _composed_trials[cache_key(parsed)] = trial
        if first is None:
            first = Request(config=trial.config, overrides=_input_lines(parsed))
            for override in values.values():
                _check_value(override, trial.config, space)
    assert first is not None
    return first


def _check_value(override: Override, config: Mapping[str, Any], space: SearchSpace) -> None:
    """Check one value of an axis against the rule of its key, without composing a trial."""
    key, value = override.key_or_group, override.value()
    # an interval has messages of its own, and another option of the group may be a class that the rule does not cover
    if space.axes[key].interval or key.partition(".")[0] in space.axes or isinstance(value, dict):
        return
    if not (isinstance(value, str) and "${" in value):
        check_value(key, value, config)


def _compose_sample(parsed: Sequence[Override], space: SearchSpace) -> TrialRequest:
    try:
        return make_trial_request(_composition_cache().compose(parsed))
    except UserError as error:
        axis, rule = space.axes.get(error.key), find_rule(error.key)
        if axis is None or axis.interval is None or rule is None or not rule.is_integer:
            raise
        raise UserError(f"{error} For whole numbers, type {axis.name}=int({axis.words}).") from error


def check_overrides(overrides: Sequence[str]) -> None:
    """Check that the overrides name existing options and keys, without validating values.

    Raises:
        UserError: for the first that does not.
    """
    with _hydra() as loader:
        _compose(parse_overrides(overrides, loader), loader)


def quote_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides, quoted where Hydra's grammar needs it."""
    with _hydra() as loader:
        return _input_lines(parse_overrides(overrides, loader))


def experiment_name(parsed: Sequence[Override]) -> str:
    """Return the name of the experiment: `a+b` for two merged ones, `sweep` where experiments vary under -m."""
    named = [override for override in parsed if override.key_or_group == "experiment" and not override.is_delete()]
    if not named:
        return "default"
    if named[-1].is_sweep_override():
        return "sweep"
    value = named[-1].value()
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def compose_trial(words: Sequence[str]) -> tuple[Path, Callable[[], TrialRequest]]:
    """Return a trial's folder, and a function that composes its request when it is to be run.

    Args:
        words: overrides of the trial, Hydra's own and the folder included.
    """
    parsed = _parse_trial(words)
    place = {override.key_or_group: str(override.value()) for override in parsed}
    return Path(*(place[key] for key in TRIAL_FOLDER_KEYS)), lambda: compose_trial_request(words)


def compose_trial_request(words: Sequence[str]) -> TrialRequest:
    """Compose the request for a trial, ignoring its folder.

    Args:
        words: overrides of the trial, Hydra's own included.

    Raises:
        UserError: for the first mistake.
    """
    parsed = [override for override in _parse_trial(words) if override.key_or_group not in TRIAL_FOLDER_KEYS]
    return _composed_trials.pop(cache_key(parsed), None) or make_trial_request(_composition_cache().compose(parsed))


def _parse_trial(words: Sequence[str]) -> list[Override]:
    return [_parsed_values.get(word) or _parse_cached(word) for word in words]


_composed_trials: dict[tuple[str, ...], TrialRequest] = {}
"""Trials composed while the sweep was validated, until they are run."""
_parsed_values: dict[str, Override] = {}
"""Parsed values of the axes of the last validated sweep."""


@cache
def _composition_cache() -> CompositionCache:
    def compose_afresh(parsed: Sequence[Override]) -> DictConfig:
        with _hydra() as loader:
            return _compose(parsed, loader, hydra_too=True, ours=True)

    with _hydra() as loader:
        return CompositionCache(compose_afresh, groups=list_groups(loader))


@lru_cache(1024)
def _parse_cached(word: str) -> Override:
    with _hydra() as loader:
        return parse_overrides([word], loader)[0]


def make_trial_request(composed: Composed) -> TrialRequest:
    """Validate a composed trial and return its request.

    Raises:
        UserError: for the first mistake.
    """
    config, settings = _split_sweep_node(composed.config)
    check_config(config)
    allow_own_modules(config)
    experiment = composed.experiment or "sweep"
    return TrialRequest(config=config, experiment=experiment, settings=settings, sweeper=composed.sweeper)


def _split_sweep_node(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a configuration into that of a run and the node `sweep`.

    Raises:
        UserError: for a key under an old name.
    """
    check_renamed_keys(config)
    return {name: value for name, value in config.items() if name != "sweep"}, config.get("sweep") or {}


@contextmanager
def _hydra() -> Iterator[ConfigLoader]:
    instance = GlobalHydra.instance()
    outer, instance.hydra = instance.hydra, None  # a trial is composed inside the Hydra of its sweep
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"):
            yield instance.config_loader()
    finally:
        instance.hydra = outer


def _input_lines(parsed: Sequence[Override]) -> list[str]:
    return [str(override.input_line) for override in parsed]


def _compose(
    parsed: Sequence[Override], loader: ConfigLoader, *, hydra_too: bool = False, ours: bool = False
) -> DictConfig:
    """Compose overrides, and explain what is wrong where Hydra cannot.

    Args:
        parsed: the overrides.
        loader: Hydra's, of the current configuration folders.
        hydra_too: keep Hydra's own node.
        ours: accept keys that only Copycat may set, such as the folder of a trial.

    Raises:
        UserError: for the first mistake.
    """
    for override in parsed if not ours else ():
        _check_override(override, loader)
    try:
        return hydra_compose(MAIN, _input_lines(parsed), return_hydra_config=hydra_too)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise explain_composition_error(parsed, loader, error) from error


def _check_override(override: Override, loader: ConfigLoader) -> None:
    group = override.key_or_group
    if override.is_sweep_override():
        raise UserError(f"{group}: expected one value; got {override.input_line!r}. For a sweep, type -m.")
    if group in MANAGED_KEYS:
        raise UserError(f"{group}: expected nothing, as Copycat sets it; got a value. {MANAGED_KEYS[group]}.")
    if override.is_delete() or not (group in list_groups(loader) or "/" in group):
        return
    value = override.value()
    merged = isinstance(value, list) and group in MULTIPLE_CHOICE_GROUPS
    for name in value if merged and isinstance(value, list) else [value]:
        inside, _, last = f"{group}/{name}".rpartition("/")
        if last in list_options(inside, loader):
            continue
        options = list_options(group, loader)
        if not options:
            raise renamed_key_error(group) or UserError(f"{group}: no such group; got {override.input_line!r}.")
        hint = did_you_mean(str(name), options, before=f"{group}=")
        if not hint and isinstance(name, str):
            hint = ALTERNATIVE_HINTS.get(group, "").format(name)
        wrong = UserError(f"{group}: expected one of {one_of(options)}; got {format_value(name)}.{hint}")
        raise renamed_key_error(f"{group}.{name}") or wrong
