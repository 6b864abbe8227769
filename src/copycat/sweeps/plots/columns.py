"""A key's or an objective's values as places on an axis: numbers, on a linear or logarithmic one, or categories."""

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

REPEATS = ("seed", "data.fold", "data.split_seed")
"""Keys that repeat a trial rather than change what is tried: choosing the best seed is choosing chance."""
DECADES = 100.0
"""The ratio between values from which an axis is logarithmic."""
FEW = 12
"""Different numbers at most that are shown as categories, where 0 is among them and no axis shows them all."""
MOST = 1e100
"""What is larger, or smaller than one part of it, is no number that can be drawn."""


@dataclass(frozen=True)
class Column:
    """Of a key or an objective, its place on an axis for each trial."""

    name: str
    places: Sequence[float | None]
    """A number, or a category's index; None where the trial has none."""
    scale: Literal["linear", "log", "category"]
    labels: Sequence[str] = ()
    """Of the categories."""

    @property
    def present(self) -> list[float]:
        return [place for place in self.places if place is not None]

    @property
    def ends(self) -> tuple[float, float]:
        """Of the axis, in steps that are equally far apart on it."""
        if self.scale == "category":
            return -0.5, len(self.labels) - 0.5
        low, high = self.forth([min(self.present), max(self.present)])
        return (low, high) if low < high else (low - abs(low) / 10 - 0.1, high + abs(high) / 10 + 0.1)

    def forth(self, values: Sequence[float]) -> np.ndarray[Any, Any]:
        return np.log10(values) if self.scale == "log" else np.asarray(values, dtype=float)

    def back(self, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return 10.0**steps if self.scale == "log" else steps

    def at(self, indices: Sequence[int]) -> "Column":
        """Over some of the trials, on the same axis."""
        return replace(self, places=[self.places[index] for index in indices])


def is_number(value: Any) -> bool:
    """Whether it can be drawn; a switch is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value == 0 or 1 / MOST < abs(value) < MOST


def spans_decades(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= DECADES


def column(name: str, trials: Sequence[Trial], words: str = "") -> Column:
    """A key's values, as numbers where all are some."""
    values = [trial.values[name] for trial in trials if name in trial.values]
    override = _override(name, words)
    if all(is_number(value) for value in values):
        if not _hides(values):
            places = [float(trial.values[name]) if name in trial.values else None for trial in trials]
            tagged = "log" in getattr(override and override._value, "tags", ()) and bool(values) and min(values) > 0
            far = spans_decades(values) and name not in REPEATS  # which are numbered, not measured
            return Column(name, places, "log" if tagged or far else "linear")
        labels = [text(value) for value in sorted(set(values))]
    else:
        found = {text(value) for value in values}
        choices = _choices(override)
        labels = [*(choice for choice in choices if choice in found), *sorted(found - {*choices})]
    index = {label: float(place) for place, label in enumerate(dict.fromkeys(labels))}
    return Column(
        name, [index[text(t.values[name])] if name in t.values else None for t in trials], "category", [*index]
    )


def _hides(values: Sequence[float]) -> bool:
    """Whether a linear axis would draw a few numbers over each other, and 0 keeps it from being logarithmic."""
    return 0 in values and 2 < len({*values}) <= FEW and spans_decades([abs(value) for value in values if value])


def text(value: Any) -> str:
    """As typed, in one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    return " ".join(str(value).split()) or "''"


def _override(name: str, words: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"{name}={words}")
    except HydraException:
        return None


def _choices(override: Override | None) -> list[str]:
    """An axis's values, in their order; none of a glob, whose files may have changed."""
    try:
        words = expand_values(override) if override else []
        return [text(OverridesParser.create().parse_override(word).value()) for word in words]
    except (HydraException, UserError, ValueError):
        return []
