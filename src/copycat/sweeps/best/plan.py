"""Plan the trainings of a search: their numbers, words, and which candidates its time allows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from copycat.records.run_folder import SEARCH_FOLDER
from copycat.sweeps.best.division import ALL_IMAGES, EXCLUDED, HELD_OUT, final_column, search_column
from copycat.sweeps.best.selection import MAX_REMAINING
from copycat.sweeps.job import Job, is_sweep_override

QUIET = {"callbacks": "none", "logger": "none"}
"""Options of trainings that only compare candidates."""
FINAL_SHARE = 1.4
"""Time of a training of the chosen model, by that of a training on inner folds, which have fewer images."""
LEAST_OUTER_FOLDS = 2
"""Outer folds for which the time must suffice: a better model counts for more than a narrower interval."""
SAFETY = 0.9
"""Share of the time left that is planned for."""


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Hold the initial settings of a search, as recorded in its sweep.json."""

    images: int
    """Number of images outside the test part."""
    has_test: bool
    """Whether there are test images, which are evaluated on once."""
    outer_folds: int
    inner_folds: int
    candidates: list[dict[str, Any]]
    """`name` and `words` of each: an experiment of the portfolio, and the overrides that configure it."""
    not_tried: dict[str, str]
    """Reasons, by name, why experiments of the portfolio are no candidates, or left before all their trainings."""
    preferred: list[str]
    """Names of candidates that are left out last where the time is short."""
    admitted: list[str] | None = None
    """Names of the candidates for which there is time; None until their first trainings ended."""

    @property
    def names(self) -> list[str]:
        """Return the names of all candidates."""
        return [str(one["name"]) for one in self.candidates]

    @property
    def selections(self) -> range:
        """Return the numbers of the selections: that on all images, then one without each outer fold."""
        return range(self.outer_folds + 1)

    @property
    def trainings(self) -> int:
        """Return the number of trainings of a candidate that remains in all selections and is always chosen."""
        return (self.outer_folds + 1) * (self.inner_folds + 1)

    @property
    def least_trainings(self) -> int:
        """Return the number of trainings of a candidate that remains and is chosen, in the fewest outer folds."""
        return (min(LEAST_OUTER_FOLDS, self.outer_folds) + 1) * (self.inner_folds + 1)

    def number(self, selection: int, name: str, fold: int | None) -> int:
        """Return the number of a training; without an inner fold it is that of the chosen model."""
        place = self.inner_folds if fold is None else fold
        return (selection * len(self.candidates) + self.names.index(name)) * (self.inner_folds + 1) + place

    def words(self, name: str) -> list[str]:
        """Return the overrides that configure a candidate."""
        return list(self.candidates[self.names.index(name)]["words"])

    def job(
        self, selection: int, name: str, fold: int | None, fixed: Sequence[str], *, max_seconds: int | None = None
    ) -> Job:
        """Return the job of a training; `fixed` are the words of the sweep, of which those of its own node are added.

        The model that is chosen on all images has its folder beside that of the search.
        """
        is_model = selection == ALL_IMAGES and fold is None
        given = {word.partition("=")[0] for word in fixed}
        column = final_column(selection) if fold is None else search_column(selection, fold)
        words = [word for word in fixed if not is_sweep_override(word)] + self.words(name)
        words += [
            "data.split=official",
            f"data.split_column={column}",
            f"data.exclude_column={EXCLUDED if is_model else HELD_OUT}",
        ]
        words += [] if is_model else [f"{key}={value}" for key, value in QUIET.items() if key not in given]
        words += ["test=true"] if fold is None and (self.has_test or not is_model) and "test" not in given else []
        words += [word for word in fixed if is_sweep_override(word)]
        words += [] if max_seconds is None else [f"sweep.max_seconds={max_seconds}"]
        values = {"experiment": name, "data.split_column": column}
        number = self.number(selection, name, fold)
        return Job(0, words, values) if is_model else Job(number, words, values, inside=Path(SEARCH_FOLDER))

    def admit(self, seconds: Mapping[str, float], *, left: float) -> list[str]:
        """Return the candidates whose trainings fit into the time, which does not depend on how good they are here.

        The most expensive are left out first, and preferred ones last.

        Args:
            seconds: of one training of each candidate.
            left: seconds of processes that are left.
        """
        admitted = sorted(seconds, key=lambda name: (name not in self.preferred, seconds[name]))
        while len(admitted) > 1 and self._estimate([seconds[name] for name in admitted]) > SAFETY * left:
            admitted.pop()
        return admitted

    def _estimate(self, seconds: Sequence[float]) -> float:
        """Return the seconds that remain after the first trainings, up to `LEAST_OUTER_FOLDS` outer folds.

        As many candidates as may remain cost the mean.
        """
        outer, mean = min(LEAST_OUTER_FOLDS, self.outer_folds), fmean(seconds)
        others = (outer + 1) * (self.inner_folds - 1) * min(len(seconds), MAX_REMAINING) * mean
        return outer * sum(seconds) + others + FINAL_SHARE * (outer + 1) * mean

    def folds(self) -> Iterator[int]:
        """Yield the inner folds."""
        return iter(range(self.inner_folds))
