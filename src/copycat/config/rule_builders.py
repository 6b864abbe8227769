"""Build rules: the values that a configuration key accepts, as a test and in words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from copycat.config.suggestions import one_of


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Describe the values that a key accepts."""

    words: str
    """The expected values, for an error message."""
    allows: Callable[[Any], bool]
    options: Sequence[str] = ()
    """Accepted words, from which a mistyped one gets a suggestion."""
    is_integer: bool = False
    """Whether it accepts integers only."""


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer; booleans are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(test: Callable[[float], bool], words: str) -> Rule:
    """Accept finite numbers that pass a test, described by words such as `> 0`."""
    return Rule(words=f"a number {words}".rstrip(), allows=lambda v: is_number(v) and test(v))


def integer(least: int, most: float = math.inf) -> Rule:
    """Accept integers in a closed interval."""
    span = f"≥ {least}" if most == math.inf else f"from {least} to {most}"
    words = str(least) if least == most else f"a whole number {span}"
    return Rule(words=words, allows=lambda v: is_integer(v) and least <= v <= most, is_integer=least < most)


def choice(*words: str) -> Rule:
    """Accept one of the given words."""
    return Rule(words=f"one of {one_of(words)}", allows=lambda v: isinstance(v, str) and v in words, options=words)


def list_of(item: Rule, words: str, *, length: int | None = None, least: int = 0) -> Rule:
    """Accept lists of items that a rule accepts: `length` of them where it is given, and at least `least`."""

    def allows(value: Any) -> bool:
        return (
            isinstance(value, list)
            and length in (None, len(value))
            and len(value) >= least
            and all(item.allows(inner) for inner in value)
        )

    return Rule(words=words, allows=allows)


def any_of(*rules: Rule) -> Rule:
    """Accept values that at least one of the rules accepts."""
    return Rule(
        words=" or ".join(rule.words.removeprefix("one of ") for rule in rules),
        allows=lambda v: any(rule.allows(v) for rule in rules),
        options=[option for rule in rules for option in rule.options],
    )


def optional(rule: Rule) -> Rule:
    """Accept null as well as the values of a rule."""
    return replace(rule, words=f"{rule.words}, or null", allows=lambda v: v is None or rule.allows(v))


BOOLEAN = Rule(words="true or false", allows=lambda v: isinstance(v, bool))
TEXT = Rule(words="a non-empty string", allows=lambda v: isinstance(v, str) and v != "")
ANY_NUMBER = number(lambda _: True, "")
WHOLE_NUMBER = Rule(words="a whole number", allows=lambda v: is_integer(v))
POSITIVE = number(lambda v: v > 0, "> 0")
NOT_NEGATIVE = number(lambda v: v >= 0, "≥ 0")
HALF_OPEN_FRACTION = number(lambda v: 0 <= v < 1, "from 0 to below 1")
OPEN_FRACTION = number(lambda v: 0 < v < 1, "above 0 and below 1")
FRACTION = number(lambda v: 0 <= v <= 1, "from 0 to 1")
