"""Read a race from its folder: its plan, its rounds so far, and the figures of the runs after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean, stdev

from copycat.config.errors import UserError
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.run_folder import RACE_FOLDER
from copycat.records.trial_file import ENDED
from copycat.sweeps.race.decision import MeanDifference, Pair, Round, Values, Verdict, compare, replay
from copycat.sweeps.race.plan import RacePlan
from copycat.sweeps.sweep_file import FILE, read_sweep
from copycat.tables.data_changes import describe_data_changes
from copycat.tables.run_reader import RunRecord, read_trials
from copycat.tables.statistics import direction_sign


@dataclass(frozen=True)
class Report:
    """Hold the figures of the winner, from runs that did not choose it."""

    own: MeanDifference
    """Of its metric from 0."""
    ahead: MeanDifference | None
    """By how much it is better than the runner-up, the larger the better; None where there is no winner."""
    test: Sequence[float]
    """Means of the metric on the test part, of the winner and of the runner-up; empty without such a part."""


@dataclass(frozen=True)
class RaceRecord:
    """Hold a race as far as it was run."""

    plan: RacePlan
    rounds: Sequence[Round]
    report: Report | None
    """None until its runs are done."""
    parameters: Sequence[int | None]
    """Number of parameters of each candidate."""
    test_images: int
    """Number of images of the test part, which the race does not look at; 0 where the source has none."""
    report_failures: int = 0
    """Failed runs of the report, which then has no figures."""
    data_changes: str = ""
    """A sentence on runs whose images differ from those of others; empty where all have the same."""

    @property
    def verdict(self) -> Verdict:
        """Return how the race stands."""
        return self.rounds[-1].verdict(self.plan.margin) if self.rounds else "open"

    @property
    def chosen(self) -> list[int]:
        """Return the candidate that is reported, and behind a winner the runner-up; empty while the race is open."""
        return choose(self.plan, self.rounds, self.parameters)


def read_race(sweep: Path) -> RaceRecord:
    """Read the race of a sweep.

    Raises:
        UserError: where the record of the race cannot be read.
    """
    folder = sweep / RACE_FOLDER
    return read_rounds(read_plan(folder), folder)


def read_plan(folder: Path) -> RacePlan:
    """Read the plan in the folder of a race.

    Raises:
        UserError: where it cannot be read.
    """
    try:
        return parse_dataclass(RacePlan, read_sweep(folder).race or {})
    except ValueError as error:
        raise UserError(f"{folder / FILE}: expected the record of a race; {error}.") from error


def read_rounds(plan: RacePlan, folder: Path) -> RaceRecord:
    """Read the trials in the folder of a race."""
    trials = {record.trial.number: record for record in read_trials(folder) if record.trial is not None}
    sign = -direction_sign(plan.direction)
    candidates = range(len(plan.candidates))

    def values(candidate: int, pairs: Sequence[Pair]) -> dict[Pair, float]:
        records = ((pair, trials.get(plan.number(candidate, pair))) for pair in pairs)
        return {pair: sign * _value(one, plan.metric) for pair, one in records if one and one.status in ENDED}

    raced = list(plan.pairs("race"))
    rounds = replay([values(one, raced) for one in candidates], plan.rules)
    first = [next((trials[n] for n in _numbers(plan, one, raced) if n in trials), None) for one in candidates]
    parameters = [_parameters(record) for record in first]
    report, failures, fresh = None, 0, list(plan.pairs("report"))
    if chosen := choose(plan, rounds, parameters):
        found = [values(one, fresh) for one in chosen]
        failures = sum(value != value for one in found for value in one.values())
        if not failures and all(len(one) == len(fresh) for one in found):
            on_test = [_on_test([trials[n] for n in _numbers(plan, one, fresh)], plan.test_metric) for one in chosen]
            report = _report(found, sign, plan.folds, on_test)
    images = next((_test_images(record) for record in first if record is not None), 0)
    changes = describe_data_changes((str(number), record.folder) for number, record in sorted(trials.items()))
    return RaceRecord(plan, rounds, report, parameters, images, failures, changes)


def choose(plan: RacePlan, rounds: Sequence[Round], parameters: Sequence[int | None]) -> list[int]:
    """Return the candidate that a race chooses, and behind a winner the runner-up; empty while it is open.

    Of those that are tied, or not told apart, it is the smallest, and of equally small ones the best.
    """
    if not rounds:
        return []
    last = rounds[-1]
    verdict = last.verdict(plan.margin)
    if verdict == "best":
        return list(last.means)[:2]
    if verdict in ("tied", "undecided"):
        return [min(last.remaining, key=lambda one: parameters[one] or 0)]
    return []


def _report(found: Sequence[Values], sign: int, folds: int, on_test: Sequence[float | None]) -> Report:
    own = [sign * value for value in found[0].values()]
    ahead = compare(found[0], found[1], folds) if len(found) > 1 else None
    test = [value for value in on_test if value is not None]
    return Report(MeanDifference(fmean(own), stdev(own), len(own), folds), ahead, test)


def _on_test(records: Sequence[RunRecord], name: str) -> float | None:
    """Return the mean of a metric of the test part; None where a run did not evaluate it."""
    values = [record.final[name] for record in records if name in record.final]
    return fmean(values) if len(values) == len(records) else None


def _test_images(record: RunRecord) -> int:
    count = record.manifest["data"]["images"].get("test", 0) if record.manifest else 0
    return int(count)


def _numbers(plan: RacePlan, candidate: int, pairs: Sequence[Pair]) -> list[int]:
    return [plan.number(candidate, pair) for pair in pairs]


def _value(record: RunRecord, metric: str) -> float:
    """Return the metric of the final weights; nan where the trial failed."""
    return record.final.get(metric, nan) if record.status == "completed" else nan


def _parameters(record: RunRecord | None) -> int | None:
    count = record.manifest["results"].get("parameters") if record and record.manifest else None
    return count if isinstance(count, int) else None
