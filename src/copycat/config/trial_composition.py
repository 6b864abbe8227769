"""Compose the trials of a sweep in the processes that run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from copycat.config.composition import Composed, open_loader, split_sweep_node
from copycat.config.composition_cache import CompositionCache, cache_key
from copycat.config.metric_directions import with_directions
from copycat.config.overrides import parse_overrides, parse_plain
from copycat.config.own_modules import allow_own_modules
from copycat.config.validation import check_config

TRIAL_FOLDER_KEYS = ("hydra.sweep.dir", "hydra.sweep.subdir")
"""Keys of Hydra that hold a trial's folder."""


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


VALIDATED_TRIALS: dict[tuple[str, ...], TrialRequest] = {}
"""Trials composed while the sweep was validated, by the cache key of their overrides, until they are run."""
PARSED_VALUES: dict[str, Override] = {}
"""Parsed values of the axes of the last validated sweep, by their words."""
composition_cache = cache(CompositionCache)
"""Return the cache of the compositions of this process's sweep."""


def forget_trials() -> None:
    """Clear all that is cached of a sweep."""
    composition_cache.cache_clear()
    VALIDATED_TRIALS.clear()
    PARSED_VALUES.clear()


def compose_trial(words: Sequence[str]) -> tuple[Path, Callable[[], TrialRequest]]:
    """Return a trial's folder, and a function that composes its request when it is to be run.

    The words are all overrides of the trial, Hydra's own and the folder included.
    """
    parsed = _parse_trial(words)
    place = {override.key_or_group: str(override.value()) for override in parsed}
    return Path(*(place[key] for key in TRIAL_FOLDER_KEYS)), lambda: compose_trial_request(words)


def compose_trial_request(words: Sequence[str]) -> TrialRequest:
    """Compose the request for a trial from all its overrides, ignoring its folder."""
    parsed = [override for override in _parse_trial(words) if override.key_or_group not in TRIAL_FOLDER_KEYS]
    return VALIDATED_TRIALS.pop(cache_key(parsed), None) or make_trial_request(composition_cache().compose(parsed))


def _parse_trial(words: Sequence[str]) -> list[Override]:
    return [PARSED_VALUES.get(word) or parse_plain(word) or _parse_cached(word) for word in words]


@lru_cache(1024)
def _parse_cached(word: str) -> Override:
    with open_loader() as loader:
        return parse_overrides([word], loader)[0]


def make_trial_request(composed: Composed) -> TrialRequest:
    """Validate a composed trial and return its request; raise a UserError for the first mistake."""
    config, settings = split_sweep_node(composed.config)
    check_config(config)
    allow_own_modules(config)
    settings = with_directions(settings, config)
    experiment = composed.experiment or "sweep"
    return TrialRequest(config=config, experiment=experiment, settings=settings, sweeper=composed.sweeper)
