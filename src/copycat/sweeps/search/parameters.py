"""Map the axes of a sweep to Optuna's distributions, and drawn values back to overrides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    """Represent one axis, or several zipped axes, as one parameter of a study."""

    name: str
    """Name of the parameter in the study."""
    axes: Sequence[str]
    distribution: BaseDistribution
    key: str
    """Key of the first axis, with its `+`."""
    rows: Mapping[str, Sequence[str]]
    """Overrides of zipped axes, by the drawn choice; empty for one axis."""

    def overrides(self, drawn: Any) -> Sequence[str]:
        """Return the overrides of a drawn value.

        Raises:
            UserError: if the study has text in place of a number.
        """
        if self.rows:
            return self.rows[drawn]
        is_number = isinstance(drawn, int | float) and not isinstance(drawn, bool)
        if not is_number and not isinstance(self.distribution, CategoricalDistribution):
            # Optuna returns what the storage has, and text would be an override
            raise UserError(
                f"hydra.sweeper.storage: expected a number for {self.name}; the study has {drawn!r:.80}."
                " Remove the study's file, and resume: it is made again from the trials."
            )
        return [f"{self.key}={drawn}"]

    def find_choice(self, values: Mapping[str, Any], space: SearchSpace) -> Any:
        """Find the parameter value that produced these axis values; None if there is none."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return values.get(self.axes[0])
        for choice in self.distribution.choices:
            if space.values(self.overrides(choice)).items() <= values.items():
                return choice
        return None


def make_parameters(space: SearchSpace, study: optuna.Study) -> dict[str, Parameter]:
    """Make a parameter for each axis; zipped axes share one."""
    known = {name: of for trial in study.get_trials(deepcopy=False) for name, of in trial.distributions.items()}
    recorded = {current_text(name): name for name in known}
    """Names in a study of an older version, by the present names of keys."""
    by_axis: dict[str, Parameter] = {}
    for name, axis in space.axes.items():
        if name in by_axis:
            continue
        names = next((names for names in space.zipped if name in names), [name])
        joined, rows = ", ".join(names), dict[str, Sequence[str]]()
        if len(names) > 1:
            rows = {" ".join(row): row for row in zip(*(space.axes[other].choices() for other in names), strict=True)}
        spread = CategoricalDistribution(list(rows)) if rows else make_distribution(axis)
        chosen, key = _choose_name(recorded.get(joined, joined), spread, known), axis.override.get_key_element()
        by_axis |= dict.fromkeys(names, Parameter(chosen, names, spread, key, rows))
    return by_axis


def _choose_name(name: str, spread: BaseDistribution, known: Mapping[str, BaseDistribution]) -> str:
    """Return a name that the study accepts: numbered if it knows the name with an incompatible distribution."""
    for number in count(1):
        numbered = name if number == 1 else f"{name} ({number})"
        try:
            check_distribution_compatibility(known.get(numbered, spread), spread)
        except ValueError:
            continue
        return numbered
    raise AssertionError


def make_distribution(axis: Axis) -> BaseDistribution:
    """Return Optuna's distribution for an axis."""
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
        choices.sort()  # each process would shuffle differently, and a study refuses choices in another order
    return CategoricalDistribution(list(dict.fromkeys(choices)))


def draw_overrides(
    trial: optuna.Trial, space: SearchSpace, by_axis: Mapping[str, Parameter], *, sampler: Callable[[str], Any]
) -> list[str]:
    """Draw the overrides of a trial: each axis in turn, conditional axes only if their condition holds.

    Values that the trial has already are kept. `sampler` makes one sampler per parameter, which keeps the draws
    independent of which parameters a killed process drew before.
    """
    drawn: dict[str, Sequence[str]] = {}
    for axis in space.ordered_axes():
        parameter, condition = by_axis[axis], space.conditions.get(axis)
        words = [word for words in drawn.values() for word in words]
        if parameter.name in drawn or (condition and not condition.holds(space.values(words))):
            continue
        if parameter.name not in trial.params:
            assert trial.relative_params is not None  # drawn jointly, by the sampler of the whole trial
            trial.study.sampler = sampler(parameter.name)
        drawn[parameter.name] = parameter.overrides(trial._suggest(parameter.name, parameter.distribution))
    return space.drop_inactive([word for words in drawn.values() for word in words])
