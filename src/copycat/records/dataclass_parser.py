"""Parse dataclasses from the content of a file, and check each value against the type of its field."""

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from copycat.config.rule_builders import is_integer, is_number

T = TypeVar("T")


def parse_dataclass(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a dataclass from these values; raise a ValueError for other keys, or a value that does not fit its field."""
    try:
        result = kind(**values)
    except TypeError as error:
        raise ValueError("expected other keys") from error
    of_any: Any = kind
    for name, hint in _hints(of_any).items():
        if not _fits(value := getattr(result, name), hint):
            raise ValueError(f"{name}: expected {getattr(hint, '__name__', hint)}; got {value!r:.80}")
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if origin is list:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if hint in (int, float):
        return is_integer(value) if hint is int else is_number(value)
    return hint is Any or isinstance(value, hint)
