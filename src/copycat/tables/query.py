"""Filter and sort the rows of a table."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.rule_builders import is_number
from copycat.config.suggestions import did_you_mean, one_of
from copycat.records.lock import KILLED
from copycat.records.manifest_schema import RECORDED_STATUSES
from copycat.tables.run_row import RunRow, column_names, parse_value

_CONDITION = re.compile(r"\s*([^\s=<>!]+)\s*(==|!=|<=|>=|=|<|>)\s*([^\s=<>!].*?|)\s*")
_AND = re.compile(r"\s+and\s+|\s*&&?\s*|\s*,\s*")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
STATUSES = (*RECORDED_STATUSES, KILLED)
KNOWN_NAMES = ("run", "status", "error", "started", "seconds", "epochs", "parameters", "experiment")
"""Names that are valid for any table, even if no row has them."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Hold a query as typed."""

    filters: Sequence[str] = ()
    sort: str | None = None
    descending: bool = False

    @property
    def is_empty(self) -> bool:
        """Return whether it leaves rows as they are."""
        return not (self.filters or self.sort or self.descending)


def select_rows(rows: Sequence[RunRow], query: Query, *, known: Collection[str] = ()) -> list[RunRow]:
    """Return the rows for which all conditions hold, sorted if requested.

    Names are those of the rows, and further `known` ones.

    Raises:
        UserError: for an invalid condition, or a name that no row has.
    """
    if query.is_empty:
        return list(rows)
    names = [*dict.fromkeys([*column_names(rows), *KNOWN_NAMES, *known])]
    for condition in query.filters:
        holds = _parse_condition(condition, names)
        rows = [row for row in rows if holds(row)]
    if query.sort is None:
        if query.descending:
            raise UserError("--descending: expected --sort KEY beside it; got none.")
        return list(rows)
    return sort_rows(rows, resolve_name(query.sort, names, after="--sort"), descending=query.descending)


def sort_rows(rows: Iterable[RunRow], name: str, *, descending: bool = False) -> list[RunRow]:
    """Sort rows by one value: numbers, then text; rows without it come last in either direction."""
    rows = list(rows)
    present = [row for row in rows if row.get(name) is not None]
    values: list[Any] = [row[name] for row in present]
    is_plain = all(isinstance(value, str) and value.isascii() and value.isprintable() for value in values)
    keys = values if is_plain else [*map(_sort_key, values)]
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=descending)
    return [*(present[index] for index in order), *(row for row in rows if row.get(name) is None)]


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, (int, float)) else (True, printable(value))


def resolve_name(word: str, names: Collection[str], *, after: str) -> str:
    """Resolve a typed name: itself, a metric of the final weights, or a key or metric by its last part.

    Raises:
        UserError: where it matches none, or several.
    """
    if word in names:
        return word
    if f"final/{word}" in names:
        return f"final/{word}"
    ends = [name for name in names if name.endswith((f".{word}", f"/{word}"))]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise UserError(f"{after}: expected one of {one_of(ends)}; got {word!r}, which may be any of them.")
    short = [*names, *(name.removeprefix("final/") for name in names)]
    raise UserError(f"{after}: expected a name that some run has; got {word!r}.{did_you_mean(word, short)}")


def _parse_condition(condition: str, names: Collection[str]) -> Callable[[RunRow], bool]:
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise UserError(f"--filter: expected a condition, as 'val/accuracy>=0.7'; got {condition!r}.")
    parts = _AND.split(condition)
    if len(parts) > 1 and all(map(_CONDITION.fullmatch, parts)):
        each = " ".join(f"--filter {quote(part.strip())}" for part in parts)
        raise UserError(f"--filter: expected one condition; got {condition!r}. Type {each}.")
    name, sign, expected = resolve_name(match[1], names, after="--filter"), match[2], parse_value(match[3])
    if name == "status" and expected not in STATUSES:
        raise UserError(
            f"--filter: expected one of {one_of(STATUSES)}; got {expected!r}.{did_you_mean(match[3], STATUSES)}"
        )
    if sign not in _COMPARISONS:
        return lambda row: _is_equal(row.get(name), expected) == (sign != "!=")
    if not is_number(expected) and name not in ("started", "ended"):
        raise UserError(f"--filter: expected a number after {match[1]}{sign}; got {match[3]!r}.")
    compare = _COMPARISONS[sign]
    if name in ("started", "ended"):  # times of one format sort as text: started>=2026-11-24
        return lambda row: row.get(name) is not None and compare(row[name], match[3])
    return lambda row: is_number(row.get(name)) and compare(row[name], expected)


def _is_equal(value: Any, expected: Any) -> bool:
    if isinstance(value, bool) or isinstance(expected, bool) or not (is_number(value) and is_number(expected)):
        return printable(value).replace(" ", "") == printable(expected).replace(" ", "")
    return bool(value == expected)
