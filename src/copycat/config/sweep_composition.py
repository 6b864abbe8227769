"""Compose a sweep, and validate its trials before the first one runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override

from copycat.config.compose import Request, experiment_name
from copycat.config.composition import open_loader, split_sweep_node
from copycat.config.composition_cache import cache_key
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.metric_directions import with_directions
from copycat.config.metric_names import metric_nodes
from copycat.config.overrides import check_override, input_lines, parse_overrides
from copycat.config.rules import find_rule
from copycat.config.search_space import SearchSpace
from copycat.config.search_space_builder import build_search_space, check_search
from copycat.config.suggestions import one_of
from copycat.config.targets import import_target
from copycat.config.trial_composition import (
    PARSED_VALUES,
    VALIDATED_TRIALS,
    TrialRequest,
    composition_cache,
    forget_trials,
    make_trial_request,
)
from copycat.config.validation import check_hydra, check_sweep_settings, check_value


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
    repeated: Sequence[str] = ()
    """Overrides whose values a grid has twice."""


def compose_sweep(overrides: Sequence[str]) -> SweepRequest:
    """Compose a sweep and validate its trials before the first one runs.

    All trials of a small sweep are composed. Of a large one, each value is composed with the first value of the other
    axes.

    Raises:
        UserError: for the first mistake in any of them.
    """
    with open_loader() as loader:
        parsed = parse_overrides(overrides, loader)
        fixed = [override for override in parsed if not override.is_sweep_override()]
        for override in fixed:
            check_override(override, loader)
        forget_trials()  # files may have changed since this process composed another sweep
        whole = composition_cache().compose(fixed, axes=[o.key_or_group for o in parsed if o.is_sweep_override()])
        sweeper = whole.sweeper
        shared, settings = split_sweep_node(whole.config)
        check_sweep_settings(settings, measured=metric_nodes(shared))
        check_hydra({"sweeper": sweeper, "launcher": whole.launcher})
        if package := getattr(import_target("hydra.launcher", whole.launcher["_target_"]), "package", None):
            require_package(package, wanted_by="hydra/launcher")
        params = sweeper.get("params") or {}
        space = build_search_space(input_lines(parsed), sweep=settings, params=params, loader=loader)
        if "sampler" in sweeper:
            check_search(sweeper, settings, space)
        elif "candidates" in sweeper and space.axes:
            raise UserError(
                f"hydra/sweeper=best: expected no key that varies, as its candidates do; got {one_of(space.axes)}."
            )
        else:
            for axis in space.axes.values():
                axis.choices()
        first = _check_trials(space, loader, experiment=experiment_name(parsed))
        repeated = [] if "sampler" in sweeper else space.find_repeated(PARSED_VALUES)
    return SweepRequest(
        first=first,
        shared=shared,
        settings=with_directions(settings, first.config),
        sweeper=sweeper,
        space=space,
        words=input_lines(parsed),
        repeated=repeated,
    )


def _check_trials(space: SearchSpace, loader: ConfigLoaderImpl, *, experiment: str) -> Request:
    """Validate the sampled trials, cheapest checks first, and return the request for the first trial."""
    fixed = parse_overrides(space.fixed, loader)
    for override in fixed:
        check_override(override, loader)
    samples = space.sample_trials()
    words_of_axes = [word for axis in space.axes.values() for word in axis.sample_values()]
    values = dict(zip(words_of_axes, parse_overrides(words_of_axes, loader), strict=True))
    PARSED_VALUES.update(values)
    for override in values.values():  # the cheapest check: no configuration file is composed yet
        check_override(override, loader)
    first: Request | None = None
    for words in samples:
        parsed = [*fixed, *(values[word] for word in words)]
        trial = _compose_sample(parsed, space)
        VALIDATED_TRIALS[cache_key(parsed)] = trial
        if first is None:
            first = Request(config=trial.config, experiment=experiment, overrides=input_lines(parsed))
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
        return make_trial_request(composition_cache().compose(parsed))
    except UserError as error:
        axis, rule = space.axes.get(error.key), find_rule(error.key)
        if axis is None or axis.interval is None or rule is None or not rule.is_integer:
            raise
        raise UserError(f"{error} For whole numbers, type {axis.name}=int({axis.words}).") from error
