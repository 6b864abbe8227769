"""Which rows of a table are shown, and in which order."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.rule import is_real
from copycat.config.suggestions import did_you_mean, one_of
from copycat.records.lock import KILLED
from copycat.records.manifest_schema import RECORDED_STATUSES
from copycat.tables.run_row import Facts, columns, plain

_CONDITION = re.compile(r"\s*([^\s=<>!]+)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*")
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
STATUSES = (*RECORDED_STATUSES, KILLED)
NAMES = ("run", "status", "error", "started", "seconds", "epochs", "parameters", "experiment")
"""That any table knows, though no row may have them."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """As typed."""

    filters: Sequence[str] = ()
    sort: str | None = None
    descending: bool = False


def chosen(rows: Sequence[Facts], choice: Choice, *, known: Collection[str] = ()) -> list[Facts]:
    """The rows for which all conditions hold, sorted if asked.

    Args:
        known: names that are right beside those that rows have.

    Raises:
        UserError: for a condition that is none, or a name that no row has.
    """
    names = [*dict.fromkeys([*columns(rows), *NAMES, *known])]
    for condition in choice.filters:
        holds = _test(condition, names)
        rows = [row for row in rows if holds(row)]
    if choice.sort is None:
        if choice.descending:
            raise UserError("--descending: expected --sort KEY beside it; got none.")
        return list(rows)
    return ordered(rows, named(choice.sort, names, after="--sort"), descending=choice.descending)


def ordered(rows: Iterable[Facts], name: str, *, descending: bool = False) -> list[Facts]:
    """By a fact: numbers, then words, and at the end in either direction rows that lack it."""
    there: list[Facts] = []
    lacking: list[Facts] = []
    for row in rows:
        (lacking if row.get(name) is None else there).append(row)
    there.sort(key=lambda row: _place(row[name]), reverse=descending)
    return [*there, *lacking]


def _place(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, (int, float)) else (True, printable(value))


def named(word: str, names: Collection[str], *, after: str) -> str:
    """The name that a word means: itself, one of the final weights, or a key or metric by its last part.

    Raises:
        UserError: where it is none, or may be several.
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


def _test(condition: str, names: Collection[str]) -> Callable[[Facts], bool]:
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise UserError(f"--filter: expected a condition, as 'val/accuracy>=0.7'; got {condition!r}.")
    name, sign, wanted = named(match[1], names, after="--filter"), match[2], plain(match[3])
    if name == "status" and wanted not in STATUSES:
        raise UserError(
            f"--filter: expected one of {one_of(STATUSES)}; got {wanted!r}.{did_you_mean(match[3], STATUSES)}"
        )
    if sign not in _ORDERS:
        return lambda row: _same(row.get(name), wanted) == (sign != "!=")
    if not is_real(wanted) and name not in ("started", "ended"):
        raise UserError(f"--filter: expected a number after {match[1]}{sign}; got {match[3]!r}.")
    compare = _ORDERS[sign]
    if name in ("started", "ended"):  # of one form, so that they sort as words: started>=2026-11-24
        return lambda row: row.get(name) is not None and compare(row[name], match[3])
    return lambda row: is_real(row.get(name)) and compare(row[name], wanted)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool) or not (is_real(value) and is_real(wanted)):
        return printable(value).replace(" ", "") == printable(wanted).replace(" ", "")
    return bool(value == wanted)
