"""Plan a race: its candidates, and the trials of each round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from copycat.config.dotted_keys import short_names
from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.records.run_folder import RACE_FOLDER
from copycat.records.trial_file import read_own_trial
from copycat.sweeps.job import Job, is_sweep_override
from copycat.sweeps.race.decision import Pair, RaceRules
from copycat.sweeps.summary import group_configurations, is_done, rank_trials
from copycat.sweeps.sweep_file import SweepFile, check_images
from copycat.tables.run_row import REPEATS, RunRow
from copycat.tables.statistics import Direction

REPORT_ROUNDS = 5
"""Rounds that are run after a race, with seeds and divisions that it did not use: reported figures are from these."""


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """Hold the initial settings of a race, as recorded in its sweep.json."""

    metric: str
    """Name of the metric, of the final weights."""
    direction: Direction
    folds: int
    rounds: int
    margin: float
    seed: int
    """Of the sweep: round r has this seed + r."""
    split_seed: int
    """As the seed, for the division into folds."""
    candidates: list[dict[str, Any]]
    """`trial`, `overrides` and `values` of each: its number in the sweep, the words that configure it, what varies."""

    @property
    def rules(self) -> RaceRules:
        """Return the rules by which candidates leave."""
        return RaceRules(folds=self.folds, rounds=self.rounds, margin=self.margin)

    @property
    def test_metric(self) -> str:
        """Return the name of the metric on the test part."""
        return f"test/{self.metric.partition('/')[2]}"

    def names(self) -> list[str]:
        """Return the name of each candidate: the values in which candidates differ."""
        keys = dict.fromkeys(key for one in self.candidates for key in one["values"])
        short = short_names(keys)
        return [
            " ".join(f"{short[key]}={printable(value)}" for key, value in one["values"].items()) or "as configured"
            for one in self.candidates
        ]

    def number(self, candidate: int, pair: Pair) -> int:
        """Return the number of a trial; rounds after `rounds` are those of the report."""
        return ((pair[0] - 1) * len(self.candidates) + candidate) * self.folds + pair[1]

    def pairs(self, kind: Literal["race", "report"]) -> Iterator[Pair]:
        """Yield the pairs of the race or of the report."""
        first, count = (1, self.rounds) if kind == "race" else (self.rounds + 1, REPORT_ROUNDS)
        return ((number, fold) for number in range(first, first + count) for fold in range(self.folds))

    def job(self, candidate: int, pair: Pair, fixed: Sequence[str], *, test: bool = False) -> Job:
        """Return the job of a trial; `fixed` are the words of the sweep, of which those of its own node are added.

        With `test` it evaluates the test part too.
        """
        repeats = {
            "seed": (self.seed + pair[0]) % 2**32,
            "data.split_seed": self.split_seed + pair[0],
            "data.fold": pair[1],
        }
        one = self.candidates[candidate]
        words = [*one["overrides"], "data.split=folds", *(f"{key}={value}" for key, value in repeats.items())]
        words += ["test=true"] if test else []
        words += [word for word in fixed if is_sweep_override(word)]
        return Job(self.number(candidate, pair), words, {**one["values"], **repeats}, inside=Path(RACE_FOLDER))


def make_plan(
    sweep: SweepFile, folder: Path, rows: Sequence[RunRow], settings: Mapping[str, Any], config: Any
) -> RacePlan:
    """Make the plan of a race between the best configurations of a sweep.

    Args:
        sweep: the record of the sweep.
        folder: its folder.
        rows: its trials.
        settings: the node `sweep`.
        config: the configuration that all trials share.

    Raises:
        UserError: where the sweep cannot be raced.
    """
    metric, direction = next(iter(sweep.objectives.items()))
    candidates = find_candidates(sweep, folder, rows)
    return RacePlan(
        metric=metric,
        direction=direction,
        folds=config["data"]["folds"],
        rounds=settings["prove_rounds"],
        margin=float(settings["prove_margin"]),
        seed=config["seed"],
        split_seed=config["data"]["split_seed"],
        candidates=candidates[: settings["prove_candidates"]],
    )


def find_candidates(sweep: SweepFile, folder: Path, rows: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Return the candidates of a race as `RacePlan` holds them, the best configuration first.

    Raises:
        UserError: where the sweep cannot be raced.
    """
    check_images(sweep)
    done = [row for row in rank_trials(rows, sweep.objectives) if is_done(row, sweep.objectives)]
    groups = group_configurations(rows, sweep)
    best = [one.trials[0] for one in groups if one.trials] if groups else done
    candidates: dict[str, dict[str, Any]] = {}
    for row in best:
        trial = read_own_trial(folder / str(row["trial"]))
        if trial is None:
            raise UserError(f"{folder / str(row['trial'])}: expected a trial that you made; its record is not yours.")
        words = [word for word in trial.overrides if _key(word) not in (*REPEATS, "data.split")]
        values = {key: value for key, value in trial.values.items() if key not in REPEATS}
        candidates.setdefault(repr(sorted(words)), {"trial": trial.number, "overrides": words, "values": values})
    if len(candidates) < 2:
        within = " and keep to sweep.constraints" if any("violated_constraints" in row for row in rows) else ""
        raise UserError(
            f"sweep.prove: expected two configurations or more that completed{within};"
            f" got {len(candidates)} in {folder}."
        )
    return list(candidates.values())


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]
