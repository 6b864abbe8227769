"""The nearest valid word, for a message about a wrong one."""

from collections.abc import Iterable
from difflib import SequenceMatcher

_ENOUGH = 0.55


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word most like `word`, by itself or by its last dotted part; None where none is like it."""
    best, score = None, _ENOUGH
    for candidate in words:
        last = _likeness(word.rpartition(".")[2], candidate.rpartition(".")[2]) - 0.01
        found = max(_likeness(word, candidate), last)
        if found > score:
            best, score = candidate, found
    return best


def _likeness(a: str, b: str) -> float:
    """From 0 to 1: what they share in order, and how few slips of the hand lie between them."""
    a, b = a.lower(), b.lower()
    slips = _slips(a, b) / max(len(a), len(b), 1)
    return (SequenceMatcher(None, a, b).ratio() + 1 - slips) / 2


def _slips(a: str, b: str) -> int:
    """Letters to insert, delete, change, or swap with their neighbour.

    Source: optimal string alignment, after Damerau 1964, A technique for computer detection of spelling errors.
    """
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        two_before, before, row = before, row, [i]
        for j, y in enumerate(b, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, two_before[j - 2] + 1)
            row.append(cost)
    return row[-1]


def one_of(words: Iterable[str], *, most: int = 16) -> str:
    """The words as a list for a message, its middle left out where it is long."""
    names = sorted(words)
    if len(names) > most:
        names = [*names[: most - 2], "…", names[-1]]
    return ", ".join(names)


def did_you_mean(word: str, words: Iterable[str], *, before: str = "", after: str = "") -> str:
    """A sentence with the nearest word, or nothing."""
    found = nearest(word, words)
    return f" Did you mean {before}{found}{after}?" if found else ""
