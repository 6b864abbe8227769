"""Decide between steps what all ranks of a run must do in the same step: save, or end."""

from collections.abc import Callable, Sequence
from typing import Protocol


class _Ranks(Protocol):
    rank: int
    size: int


class RankDecisions:
    """Hold yes-or-no questions that each rank can answer, and the answer on which all ranks agreed.

    One rank answers its questions itself, when they are asked. Several ranks answer together once a step, beside the
    loss: an answer is yes where it is yes on any rank. It is used up where it is taken.
    """

    def __init__(self, ranks: _Ranks) -> None:
        """Start without questions."""
        self._ranks = ranks
        self._questions: dict[str, Callable[[], bool]] = {}
        self._agreed: set[str] = set()

    def ask(self, name: str, question: Callable[[], bool], *, first_only: bool = False) -> None:
        """Add a question; the answer is the first rank's alone where it depends on a clock."""
        answers = not first_only or self._ranks.rank == 0
        self._questions[name] = question if answers else lambda: False

    def take(self, name: str) -> bool:
        """Return the answer to a question."""
        if self._ranks.size == 1:
            return self._questions[name]()
        is_agreed = name in self._agreed
        self._agreed.discard(name)
        return is_agreed

    def pending(self) -> list[float]:
        """Return this rank's answers, in the order of the questions."""
        return [float(question()) for question in self._questions.values()]

    def settle(self, sums: Sequence[float]) -> None:
        """Take the sums of all ranks' answers."""
        self._agreed |= {name for name, total in zip(self._questions, sums, strict=True) if total > 0}
