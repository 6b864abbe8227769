"""What a study draws for each trial, and the words that this makes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import optuna
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from copycat.config.errors import UserError
from copycat.config.renamed_keys import current_text
from copycat.config.search_space import Axis, SearchSpace


@dataclass(frozen=True)
class Parameter:
    """The value of one axis, or of several that go together."""

    name: str
    """In the study."""
    axes: Sequence[str]
    distribution: BaseDistribution
    key: str = ""
    """Of one axis, with its `+`."""
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Words of several axes, by what is drawn."""

    def words(self, drawn: Any) -> Sequence[str]:
        if self.rows:
            return self.rows[drawn]
        if isinstance(self.distribution, CategoricalDistribution):
            return [f"{self.key}={drawn}"]
        return [f"{self.key}={self._as_number(drawn)}"]

    def _as_number(self, drawn: Any) -> float | int:
        """Return the value that Optuna gives, which for numbers is whatever the storage holds: text there would be run.

        Raises:
            UserError: where it is no number.
        """
        if isinstance(drawn, bool) or not isinstance(drawn, int | float):
            raise UserError(
                f"hydra.sweeper.storage: expected a number for {self.name}; the study has {drawn!r:.80}."
                " Remove the study's file, and resume: it is made again from the trials."
            )
        return drawn

    def drawn(self, values: Mapping[str, Any], space: SearchSpace) -> Any:
        """What gave these values of axes; None where nothing does."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return values.get(self.axes[0])
        for choice in self.distribution.choices:
            if space.values(self.words(choice)).items() <= values.items():
                return choice
        return None


def parameters(space: SearchSpace, study: optuna.Study) -> dict[str, Parameter]:
    """By axis; those that go together share one."""
    known = {name: of for trial in study.get_trials(deepcopy=False) for name, of in trial.distributions.items()}
    recorded = {current_text(name): name for name in known}
    """By present names of keys, what a study of an older version calls them."""
    found: dict[str, Parameter] = {}
    for name, axis in space.axes.items():
        if name in found:
            continue
        names = next((names for names in space.zipped if name in names), [name])
        if len(names) > 1:
            joined = ", ".join(names)
            rows = {" ".join(row): row for row in zip(*(space.axes[other].choices() for other in names), strict=True)}
            spread: BaseDistribution = CategoricalDistribution(list(rows))
            parameter = Parameter(_name(recorded.get(joined, joined), spread, known), names, spread, rows=rows)
        else:
            spread, key = distribution(axis), axis.override.get_key_element()
            parameter = Parameter(_name(recorded.get(name, name), spread, known), names, spread, key=key)
        found |= dict.fromkeys(names, parameter)
    return found


def _name(name: str, spread: BaseDistribution, known: Mapping[str, BaseDistribution]) -> str:
    """Another than before where a changed space has values that Optuna does not take under the name that it knows."""
    for number in count(1):
        found = name if number == 1 else f"{name} ({number})"
        try:
            check_distribution_compatibility(known.get(found, spread), spread)
        except ValueError:
            continue
        return found
    raise AssertionError


def distribution(axis: Axis) -> BaseDistribution:
    """What Optuna is to draw from."""
    if interval := axis.interval:
        assert interval.start is not None
        assert interval.end is not None
        logarithmic = "log" in interval.tags
        if isinstance(interval.start, int) and isinstance(interval.end, int):
            return IntDistribution(interval.start, interval.end, log=logarithmic)
        return FloatDistribution(float(interval.start), float(interval.end), log=logarithmic)
    span = axis.override._value
    if isinstance(span, RangeSweep) and isinstance(numbers := span.range(), range) and len(numbers) > 1:
        low, high = sorted((numbers[0], numbers[-1]))
        step = abs(numbers.step)
        return IntDistribution(low, high, step=step, log="log" in span.tags and step == 1 and low > 0)
    choices = [choice.partition("=")[2] for choice in axis.choices()]
    if isinstance(span, ChoiceSweep | RangeSweep) and span.shuffle:
        choices.sort()  # else each process has its own order, which a study does not take
    return CategoricalDistribution(list(dict.fromkeys(choices)))


def draw(
    trial: optuna.Trial, space: SearchSpace, by_axis: Mapping[str, Parameter], *, sampler: Callable[[str], Any]
) -> list[str]:
    """The words of a trial: each axis drawn in turn, those under a condition only where it holds.

    Args:
        sampler: gives one for each parameter, so that what is drawn of one does not hang on whether those before were
            drawn now, or by a process that was killed meanwhile.
    """
    drawn: dict[str, Sequence[str]] = {}
    for axis in space.ordered_axes():
        parameter, condition = by_axis[axis], space.conditions.get(axis)
        words = [word for words in drawn.values() for word in words]
        if parameter.name in drawn or (condition and not condition.holds(space.values(words))):
            continue
        if parameter.name not in trial.params:
            assert trial.relative_params is not None  # drawn at once, by the sampler of the whole trial
            trial.study.sampler = sampler(parameter.name)
        drawn[parameter.name] = parameter.words(trial._suggest(parameter.name, parameter.distribution))
    return space.drop_inactive([word for words in drawn.values() for word in words])
