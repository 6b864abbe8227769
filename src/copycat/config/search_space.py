"""Define the search space of a sweep: axes in Hydra's grammar, and the overrides of each trial."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from math import prod
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import IntervalSweep, Override

from copycat.config.errors import UserError
from copycat.config.overrides import expand_values, parse_overrides
from copycat.config.suggestions import one_of

MAX_FULLY_VALIDATED = 64
"""Maximum number of trials that are all composed before the first runs: each takes some hundredths of a second."""


@dataclass(frozen=True)
class Axis:
    """Represent a key that varies."""

    name: str
    override: Override

    @property
    def words(self) -> str:
        """Return the values as typed, after the first `=`."""
        return str(self.override.input_line).partition("=")[2]

    @property
    def interval(self) -> IntervalSweep | None:
        """Return the interval of a continuous axis; None for one of single values."""
        value = self.override._value
        return value if isinstance(value, IntervalSweep) else None

    def choices(self) -> list[str]:
        """Return one override a value; raise a UserError for an interval, which is continuous."""
        return expand_values(self.override)

    def sample_values(self) -> list[str]:
        """Return the choices, or overrides with the two bounds of an interval."""
        if (interval := self.interval) is None:
            return self.choices()
        return [f"{self.override.get_key_element()}={end}" for end in (interval.start, interval.end)]


@dataclass(frozen=True)
class Condition:
    """Restrict an axis to trials in which another axis has one of some values."""

    other: str
    values: Sequence[Any]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the axis is active in a trial with these values by key."""
        return values.get(self.other) in self.values


@dataclass(frozen=True)
class SearchSpace:
    """Represent the search space of a sweep: axes, zipped axes and conditions."""

    loader: ConfigLoaderImpl
    fixed: Sequence[str]
    """Overrides that all trials share."""
    axes: Mapping[str, Axis]
    zipped: Sequence[Sequence[str]] = ()
    """Groups of zipped axes: the n-th values of a group are combined."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """Parse overrides of axes into plain values by key."""
        return {override.key_or_group: override.value() for override in parse_overrides(words, self.loader)}

    def drop_inactive(self, words: Sequence[str]) -> list[str]:
        """Return the overrides of axes whose conditions hold."""
        kept = list(words)
        while self.conditions:
            values = self.values(kept)
            out = [name for name in values if name in self.conditions and not self.conditions[name].holds(values)]
            if not out:
                return kept
            kept = [word for word in kept if not any(name in self.values([word]) for name in out)]
        return kept

    def ordered_axes(self) -> list[str]:
        """Return the names of the axes, each after the one its condition depends on; raise a UserError for a circle."""
        waiting, done = list(self.axes), list[str]()
        while waiting:
            ready = [name for name in waiting if name not in self.conditions or self.conditions[name].other in done]
            if not ready:
                raise UserError(f"sweep.when: expected conditions without a circle; got one among {one_of(waiting)}.")
            done += ready
            waiting = [name for name in waiting if name not in ready]
        return done

    def grid(self) -> list[list[str]]:
        """Return the overrides of every combination, the last axis varying fastest, without the shared ones."""
        return self._combine([axis.choices() for axis in self.axes.values()])

    def sample_trials(self) -> list[list[str]]:
        """Return trials to validate: all of a small grid; of a large one each value with the first of other axes."""
        columns = [axis.sample_values() for axis in self.axes.values()]
        if prod(map(len, columns)) <= MAX_FULLY_VALIDATED:
            return self._combine(columns)
        first = [values[0] for values in columns]
        return [
            self.drop_inactive([*first[:place], value, *first[place + 1 :]])
            for place, values in enumerate(columns)
            for value in (values if place == 0 else values[1:])
        ]

    def find_repeated(self, parsed: Mapping[str, Override]) -> list[str]:
        """Return each override, or those of zipped axes, whose value the axis has before; `parsed` has all of them."""
        repeated = list[str]()
        for rows in self._zip_columns({name: axis.sample_values() for name, axis in self.axes.items()}):
            seen = set[str]()
            for row in rows:
                if (value := repr([parsed[word].value() for word in row])) in seen:
                    repeated.append(" ".join(row))
                seen.add(value)
        return repeated

    def _combine(self, columns: Sequence[Sequence[str]]) -> list[list[str]]:
        merged = self._zip_columns(dict(zip(self.axes, columns, strict=True)))
        found = [list(chain.from_iterable(trial)) for trial in product(*merged)]
        if not self.conditions:
            return found
        return [list(words) for words in dict.fromkeys(tuple(self.drop_inactive(words)) for words in found)]

    def _zip_columns(self, columns: Mapping[str, Sequence[str]]) -> Iterator[list[tuple[str, ...]]]:
        """Yield the values of each axis; zipped axes yield tuples at the position of their first axis."""
        done: set[str] = set()
        for name in columns:
            group = next((names for names in self.zipped if name in names), [name])
            if name in done:
                continue
            done.update(group)
            lengths = {other: len(columns[other]) for other in group}
            if len(set(lengths.values())) > 1:
                counts = ", ".join(f"{count} of {other}" for other, count in lengths.items())
                raise UserError(f"sweep.zip: expected as many values of each; got {counts}.")
            yield list(zip(*(columns[other] for other in group), strict=True))
