"""Place the values of a key or an objective on a linear, logarithmic or categorical axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from copycat.config.errors import UserError
from copycat.config.overrides import expand_values
from copycat.records.trial_file import Trial
from copycat.tables.run_row import REPEATS

LOG_RATIO = 100.0
"""Ratio between the largest and the smallest value from which an axis is logarithmic."""
MAX_CATEGORIES = 12
"""Maximum number of different values shown as categories, if 0 is one and the others span decades."""
MAX_MAGNITUDE = 1e100
"""Largest magnitude that can be drawn; its inverse is the smallest."""


@dataclass(frozen=True)
class Column:
    """Hold the position of each trial on the axis of a key or an objective."""

    name: str
    places: Sequence[float | None]
    """A number or the index of a category per trial; None if the trial has no value."""
    scale: Literal["linear", "log", "category"]
    labels: Sequence[str] = ()
    """Names of the categories."""

    @property
    def present(self) -> list[float]:
        """Return the positions of the trials that have a value."""
        return [place for place in self.places if place is not None]

    @property
    def limits(self) -> tuple[float, float]:
        """Return the limits of the axis, on the scale where it is linear."""
        if self.scale == "category":
            return -0.5, len(self.labels) - 0.5
        low, high = self.to_scale([min(self.present), max(self.present)])
        return (low, high) if low < high else (low - abs(low) / 10 - 0.1, high + abs(high) / 10 + 0.1)

    def to_scale(self, values: Sequence[float]) -> np.ndarray[Any, Any]:
        """Transform values to the scale on which the axis is linear."""
        return np.log10(values) if self.scale == "log" else np.asarray(values, dtype=float)

    def from_scale(self, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Transform from the scale on which the axis is linear to values."""
        return 10.0**steps if self.scale == "log" else steps

    def select(self, indices: Sequence[int]) -> "Column":
        """Return the column of some of the trials, on the same axis."""
        return replace(self, places=[self.places[index] for index in indices])


def is_number(value: Any) -> bool:
    """Return whether a value is a number that can be drawn; a boolean is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value == 0 or 1 / MAX_MAGNITUDE < abs(value) < MAX_MAGNITUDE


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether all values are positive and span at least two decades."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_RATIO


def make_column(name: str, trials: Sequence[Trial], words: str = "") -> Column:
    """Make the column of a key: numeric if all its values are numbers, else categorical."""
    values = [trial.values[name] for trial in trials if name in trial.values]
    override = _parse_override(name, words)
    if all(is_number(value) for value in values):
        if not _needs_categories(values):
            places = [float(trial.values[name]) if name in trial.values else None for trial in trials]
            tagged = "log" in getattr(override and override._value, "tags", ()) and bool(values) and min(values) > 0
            far = spans_decades(values) and name not in REPEATS  # seeds and folds are labels, not magnitudes
            return Column(name, places, "log" if tagged or far else "linear")
        labels = [format_value(value) for value in sorted(set(values))]
    else:
        present = {format_value(value) for value in values}
        choices = _list_choices(override)
        labels = [*(choice for choice in choices if choice in present), *sorted(present - {*choices})]
    index = {label: float(place) for place, label in enumerate(dict.fromkeys(labels))}
    return Column(
        name, [index[format_value(t.values[name])] if name in t.values else None for t in trials], "category", [*index]
    )


def _needs_categories(values: Sequence[float]) -> bool:
    """Return whether a few values would overlap on a linear axis, and 0 among them rules out a logarithmic one."""
    return (
        0 in values
        and 2 < len({*values}) <= MAX_CATEGORIES
        and spans_decades([abs(value) for value in values if value])
    )


def format_value(value: Any) -> str:
    """Format a value as the user types it, in one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return " ".join(str(value).split()) or "''"


def _parse_override(name: str, words: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"{name}={words}")
    except HydraException:
        return None


def _list_choices(override: Override | None) -> list[str]:
    """Return the values of a swept key in order; empty for a glob, whose files may have changed."""
    try:
        words = expand_values(override) if override else []
        return [format_value(OverridesParser.create().parse_override(word).value()) for word in words]
    except (HydraException, UserError, ValueError):
        return []
