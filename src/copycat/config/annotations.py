"""Make rules of the annotations of a target's parameters, as far as they are made of plain types."""

from collections.abc import Callable, Collection, Iterable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from copycat.config.rule_builders import Rule, any_of, is_integer
from copycat.config.suggestions import format_value, one_of

_LISTS = (list, tuple, Sequence, Collection, Iterable)
_PLAIN = {
    bool: Rule(words="bool", allows=lambda v: isinstance(v, bool)),
    int: Rule(words="int", allows=is_integer),
    float: Rule(words="float", allows=lambda v: isinstance(v, float) or is_integer(v)),
    str: Rule(words="str", allows=lambda v: isinstance(v, str)),
    None: Rule(words="null", allows=lambda v: v is None),
    NoneType: Rule(words="null", allows=lambda v: v is None),
}


def make_rule(annotation: Any) -> Rule | None:
    """Return the rule for values of a plain type, a `Literal`, or a list or union of these; None for any other."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return _literal(inner)
    if kind in (Union, UnionType):
        rules = [rule for one in inner if (rule := make_rule(one))]
        return any_of(*rules) if len(rules) == len(inner) else None
    if kind in _LISTS:
        return _list(inner) if kind is tuple and ... not in inner else _list(inner[:1], repeated=True)
    return next((rule for plain, rule in _PLAIN.items() if annotation is plain), None)


def is_factory_of(annotation: Any, made: Any) -> bool:
    """Return whether a value of the annotation makes objects of this class, and takes nothing for it."""
    if get_origin(annotation) is not Callable or get_args(annotation)[:1] != ([],):
        return False
    result = get_args(annotation)[1]
    return isinstance(made, type) and isinstance(result, type) and issubclass(made, result)


def _literal(options: Sequence[Any]) -> Rule:
    words = one_of(option if isinstance(option, str) else format_value(option) for option in options)
    return Rule(
        words=f"one of {words}",
        allows=lambda v: any(type(v) is type(option) and v == option for option in options),  # true equals 1
        options=[option for option in options if isinstance(option, str)],
    )


def _list(items: Sequence[Any], *, repeated: bool = False) -> Rule | None:
    """Return the rule for lists of these items, each once, or of any number of the one `repeated`."""
    rules = [rule for item in items if (rule := make_rule(item))]
    if len(rules) < len(items) or not items:
        return None

    def allows(value: Any) -> bool:
        if not isinstance(value, (list, tuple)) or (len(value) != len(rules) and not repeated):
            return False
        return all(
            rule.allows(one) for one, rule in zip(value, rules * len(value) if repeated else rules, strict=False)
        )

    words = ", ".join(rule.words for rule in rules)
    return Rule(words=f"a list of {words}" if repeated else f"[{words}]", allows=allows)
