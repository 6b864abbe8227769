"""Return a recorded configuration with the values that were requested, where the training images decided."""

from collections.abc import Iterator, Mapping
from typing import Any

from copycat.config.dotted_keys import iterate_values
from copycat.config.schedule_lengths import FILLED_KEYS

CLASS_WEIGHTS = "loss.class_weights"
STATISTICS = ("normalize.mean", "normalize.std")


def with_requested_values(config: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration by dotted key that is equal for all folds of a request.

    Balanced class weights, statistics of the training images and the lengths of a schedule in steps are recorded as
    numbers, which follow from the training images and so differ between folds. They are replaced by the override that
    set them; of statistics, that of `normalize`.

    Args:
        config: nested or by dotted key.
        request: of the run's manifest.
    """
    flat = dict(iterate_values(config))
    overrides = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in request["overrides"])}
    kept = {key: value for key, value in flat.items() if key not in STATISTICS}
    return kept | {key: _requested_value(key, overrides) for key in _keys_by_images(flat)}


def _keys_by_images(flat: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys whose recorded values may follow from the training images."""
    if isinstance(flat.get(CLASS_WEIGHTS), list):
        yield CLASS_WEIGHTS
    if any(key in flat for key in STATISTICS):
        yield "normalize"
    if flat.get("scheduler.interval") == "step":
        yield from (key for key in flat if key.startswith("scheduler.") and key.rpartition(".")[2] in FILLED_KEYS)


def _requested_value(key: str, overrides: Mapping[str, str]) -> str:
    """Return the value as typed, else the experiment and the option that it came from."""
    if key in overrides:
        return overrides[key]
    below = sorted(name for name in overrides if name.startswith(f"{key}."))
    sources = ("experiment", key.partition(".")[0], *below)
    return " ".join(f"{source}={overrides[source]}" for source in sources if source in overrides)
