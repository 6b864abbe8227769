"""Rank trials, average them over folds and seeds, and find the Pareto front of several objectives."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from copycat.records.reader import read_checked_manifest
from copycat.sweeps.sweep_file import SweepFile
from copycat.tables.data_changes import describe_data_changes
from copycat.tables.grouping import measure_overlap
from copycat.tables.run_row import SPLIT_KEYS, RunRow
from copycat.tables.statistics import Direction, direction_sign, find_best

_RANKS = {"completed": 0, "pruned": 1, "failed": 2}
_FAILED, _UNRANKED = 2, 3
"""Ranks of statuses; all others come last. The objectives rank trials within those before failed ones."""


@dataclass(frozen=True)
class Configuration:
    """Group trials that differ in seed and fold alone."""

    values: Mapping[str, Any]
    """Values of the other keys that vary."""
    trials: Sequence[RunRow]
    """Completed trials, the best first; one per seed and fold."""
    expected_runs: int | None
    """Number of seeds and folds per configuration; None where they differ between configurations, as in a search."""
    other_statuses: Mapping[str, int]
    """Number of trials with each other status."""
    is_close: bool = False
    """Whether it is not distinguishable from the one with the best mean of the first objective."""

    def mean(self, objective: str) -> float | None:
        """Return the mean of an objective; None if no trial is completed."""
        return statistics.fmean(trial[objective] for trial in self.trials) if self.trials else None

    def deviation(self, objective: str) -> float | None:
        """Return the sample standard deviation (n - 1) of an objective; None for fewer than two trials."""
        values = [trial[objective] for trial in self.trials]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def counts(self) -> str:
        """Return the counts of trials as text, for example `4 of 5, 1 failed`."""
        done = len(self.trials)
        words = [f"{done} of {self.expected_runs}" if self.expected_runs not in (None, done) else str(done)]
        return ", ".join([*words, *(f"{count} {status}" for status, count in self.other_statuses.items())])


def rank_trials(rows: Iterable[RunRow], wanted: Mapping[str, Direction]) -> list[RunRow]:
    """Sort trials: completed, pruned, failed, unfinished; within a status by the objectives in order.

    Completed trials that violate a constraint come after those that do not.
    """
    rows = list(rows)
    ranks = [_RANKS.get(row["status"], _UNRANKED) for row in rows]
    columns: list[list[Any]] = [[row.get(name) for row in rows] for name in wanted]
    missing = (index for column in columns if None in column for index, value in enumerate(column) if value is None)
    for index in missing:
        if ranks[index] < _FAILED:
            ranks[index] = _UNRANKED
    signed = [
        [sign * value if rank < _FAILED else 0 for rank, value in zip(ranks, column, strict=True)]
        for sign, column in zip(map(direction_sign, wanted.values()), columns, strict=True)
    ]
    violates = [rank < _FAILED and "violated_constraints" in row for rank, row in zip(ranks, rows, strict=True)]
    places = [*zip(ranks, violates, *signed, [row["trial"] for row in rows], strict=True)]
    return [rows[index] for index in sorted(range(len(rows)), key=places.__getitem__)]


def is_done(row: RunRow, wanted: Mapping[str, Direction]) -> bool:
    """Return whether a trial is completed, violates no constraint, and has a value for each objective."""
    return row["status"] == "completed" and "violated_constraints" not in row and None not in map(row.get, wanted)


def find_pareto_front(rows: Iterable[RunRow], wanted: Mapping[str, Direction]) -> set[int]:
    """Return the numbers of completed trials on the Pareto front, which no other trial dominates."""
    signs = [direction_sign(direction) for direction in wanted.values()]
    points = sorted(
        ([one * row[name] for one, name in zip(signs, wanted, strict=True)], row["trial"])
        for row in rows
        if is_done(row, wanted)
    )
    best: list[tuple[list[float], int]] = []
    for point, number in points:  # a point that dominates another sorts before it, and so does one on the front
        beaten = (other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in best)
        if not any(beaten):
            best.append((point, number))
    return {number for _, number in best}


def group_configurations(rows: Iterable[RunRow], sweep: SweepFile) -> list[Configuration]:
    """Group trials by configuration, ranked by the mean of the first objective; empty if no seed or fold varies."""
    if not sweep.repeats:
        return []
    groups: dict[tuple[str, ...], dict[tuple[str, ...], RunRow]] = {}
    ranked = rank_trials(rows, sweep.objectives)[::-1]  # of two trials with the same seed the better one counts
    keys = _keys(ranked, sweep.hyper_parameters), _keys(ranked, sweep.repeats)
    for row, configuration, repeat in zip(ranked, *keys, strict=True):
        groups.setdefault(configuration, {})[repeat] = row
    repeats = {repeat for group in groups.values() for repeat in group}
    whole = len(repeats) if sweep.hyper_parameters else sweep.trials
    dependent = sweep.space.get("sweep.zip", "") + sweep.space.get("sweep.when", "")
    is_product = sweep.sweeper == "grid" and not any(name in dependent for name in sweep.repeats)
    expected_runs = whole if is_product else None
    summaries = [_configuration(list(group.values()), sweep, expected_runs) for group in groups.values()]
    name, direction = next(iter(sweep.objectives.items()))
    sign = direction_sign(direction)
    summaries.sort(key=lambda one: math.inf if (mean := one.mean(name)) is None else sign * mean)
    return _with_close(summaries, sweep) if sweep.race is None else summaries


def _with_close(ranked: Sequence[Configuration], sweep: SweepFile) -> list[Configuration]:
    """Mark the configurations that are not distinguishable from the first one, where several runs allow a test."""
    name, direction = next(iter(sweep.objectives.items()))
    counts = [len(one.trials) for one in ranked if one.trials]
    if len(counts) < 2 or max(counts) < 2:
        return list(ranked)
    values = [
        dict(zip(_keys(one.trials, sweep.repeats), [trial[name] for trial in one.trials], strict=True))
        for one in ranked
        if one.trials
    ]
    _, close = find_best(values, direction, overlap=find_overlap(ranked))
    return [replace(one, is_close=place in close) for place, one in enumerate(ranked)]


def find_overlap(configurations: Iterable[Configuration]) -> float:
    """Return the number of validation images by that of training images, where the split varies; else 0."""
    trials = [trial for one in configurations for trial in one.trials]
    if len({tuple(trial.get(key) for key in SPLIT_KEYS) for trial in trials}) > 1:
        for trial in trials:
            with suppress(OSError, ValueError):  # run.json may have been removed
                return measure_overlap(read_checked_manifest(Path(trial["folder"])))
    return 0.0


def data_change_notes(rows: Iterable[RunRow], sweep: SweepFile) -> Iterator[str]:
    """Yield a sentence for trials over seeds or folds that should have the same images, and have not."""
    groups: dict[str, list[tuple[str, Path]]] = {}
    keys = [key for key in sweep.hyper_parameters if key == "experiment" or key.partition(".")[0] == "data"]
    for row in sorted(rows, key=lambda row: row["trial"]):
        if sweep.repeats and is_done(row, sweep.objectives):
            groups.setdefault(repr([row.get(key) for key in keys]), []).append((str(row["trial"]), Path(row["folder"])))
    yield from filter(None, map(describe_data_changes, groups.values()))


def make_sweep_json(folder: Path, sweep: SweepFile, rows: Sequence[RunRow]) -> dict[str, Any]:
    """Return the content that `--json` prints."""
    left_out = ("config_keys", "words", "output_dir", "id")
    fields = {name: value for name, value in asdict(sweep).items() if name not in left_out}
    summed = [_json(one, sweep) for one in group_configurations(rows, sweep)]
    changes = [*data_change_notes(rows, sweep)]
    return {
        "sweep": {"folder": str(folder), **fields},
        "configurations": summed,
        "data_changes": changes,
        "runs": rows,
    }


def _configuration(rows: Sequence[RunRow], sweep: SweepFile, expected_runs: int | None) -> Configuration:
    done, others = list[RunRow](), list[RunRow]()
    for row in rows:
        (done if is_done(row, sweep.objectives) else others).append(row)
    other_statuses = Counter(
        "outside the constraints" if "violated_constraints" in row else row["status"] for row in others
    )
    values = {name: rows[0][name] for name in sweep.hyper_parameters if name in rows[0]}
    return Configuration(values, rank_trials(done, sweep.objectives), expected_runs, other_statuses)


def _keys(rows: Sequence[RunRow], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a key of each row that is equal for equal values of these names."""
    # repr tells 1, 1.0 and True apart
    columns = [[repr(row[name]) if name in row else "" for row in rows] for name in names]
    return [*zip(*columns, strict=True)] if columns else [()] * len(rows)


def _json(one: Configuration, sweep: SweepFile) -> dict[str, Any]:
    return {
        "values": one.values,
        "runs": len(one.trials),
        "request": one.expected_runs,
        "not_completed": dict(one.other_statuses),
        "not_distinguishable": one.is_close,
        "objectives": {n: {"mean": one.mean(n), "deviation": one.deviation(n)} for n in sweep.objectives},
        "trials": [trial["trial"] for trial in one.trials],
    }
