"""Describe a race in words and as a table."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from copycat.config.suggestions import pluralize
from copycat.records.run_folder import RACE_FOLDER
from copycat.sweeps.race.decision import LEVEL, MeanDifference
from copycat.sweeps.race.plan import REPORT_ROUNDS
from copycat.sweeps.race.record import RaceRecord
from copycat.tables.run_row import RunRow
from copycat.tables.statistics import direction_sign, format_number

MAX_NAMED = 8
"""Candidates that a sentence names, at most."""


def summarize_race(race: RaceRecord) -> str:
    """Summarize the result of a race in a few words."""
    names, remaining = race.plan.names(), race.rounds[-1].remaining if race.rounds else []
    return {
        "open": "no result yet",
        "failed": "all candidates failed",
        "best": f"best is {names[remaining[0]]}" if remaining else "",
        "tied": f"{len(remaining)} tied within {race.plan.margin:g}",
        "undecided": f"{len(remaining)} not distinguishable",
    }[race.verdict]


def describe_race(race: RaceRecord, folder: Path) -> Iterator[str]:
    """Yield sentences: the result, the reported figures, and what else is to be known; `folder` is the sweep's."""
    yield _result(race)
    if race.report is not None:
        yield _figures(race)
    if race.report is not None and race.report.test:
        yield _on_test(race)
    if race.data_changes:
        yield race.data_changes
    if race.verdict == "undecided":
        least = format_number(race.rounds[-1].detectable)
        yield f"the minimum detectable difference with these images is about {least}; more rounds would not help"
    if race.report_failures:
        runs = pluralize(race.report_failures, "run")
        where = shlex.quote(str(folder / RACE_FOLDER))
        yield f"{runs} of the report failed, so it has no figures: copycat runs {where}"
    elif race.verdict == "open" or (race.chosen and race.report is None):
        yield f"to resume: copycat resume {shlex.quote(str(folder))}"


def _result(race: RaceRecord) -> str:
    names, metric = race.plan.names(), race.plan.metric
    count = f"of {pluralize(len(names), 'configuration')} by {metric}"
    if race.verdict == "open":
        return f"race: {pluralize(len(race.rounds), 'round')} done, no result yet"
    after = f"after {pluralize(len(race.rounds), 'round')} of {pluralize(race.plan.folds, 'fold')}"
    if race.verdict == "failed":
        return f"race: no configuration is left {after}: each had a trial that failed"
    if race.verdict == "best":
        return f"race: {names[race.chosen[0]]} is best {count} {after}"
    remaining = race.rounds[-1].remaining
    listed = ", ".join(names[one] for one in remaining[:MAX_NAMED]) + (", …" if len(remaining) > MAX_NAMED else "")
    which = f"tied within {race.plan.margin:g}" if race.verdict == "tied" else "not distinguishable"
    smallest = f"the smallest is {names[race.chosen[0]]}"
    if len({race.parameters[one] for one in remaining}) == 1:
        smallest = f"all are of one size; the best so far is {names[race.chosen[0]]}"
    return f"race: {len(remaining)} {count} are {which} {after}: {listed}; {smallest}"


def _figures(race: RaceRecord) -> str:
    assert race.report is not None
    names, metric = race.plan.names(), race.plan.metric
    own, ahead = race.report.own, race.report.ahead
    of = f"of {pluralize(own.pairs, 'run' if ahead is None else 'pair')}"
    sentence = f"on seeds and folds that the race did not use, {names[race.chosen[0]]} has {metric}"
    sentence += f" {format_number(own.mean)}, 95 % interval {_interval(own)}"
    if ahead is None:
        return f"{sentence}, {of}"
    sign = -direction_sign(race.plan.direction)
    shown = ahead if sign > 0 else MeanDifference(-ahead.mean, ahead.deviation, ahead.pairs, ahead.folds)
    doubt = "" if ahead.interval(LEVEL / 2)[0] > 0 else ": this alone does not confirm it"
    second = names[race.chosen[1]]
    return f"{sentence}; beside {second} {_signed(shown.mean)}, 95 % interval {_interval(shown)}, {of}{doubt}"


def _on_test(race: RaceRecord) -> str:
    """Report the accuracy on images that neither the sweep nor the race looked at."""
    assert race.report is not None
    names, metric = race.plan.names(), race.plan.test_metric
    each = [f"{names[one]} {format_number(v)}" for one, v in zip(race.chosen, race.report.test, strict=False)]
    images = pluralize(race.test_images, "image")
    return f"{metric} of these runs, on {images} that chose nothing: {', '.join(each)}"


def _interval(one: MeanDifference) -> str:
    low, high = one.interval(LEVEL / 2)
    return f"{format_number(low)} to {format_number(high)}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{format_number(abs(value))}"


def race_rows(race: RaceRecord) -> Sequence[RunRow]:
    """Return a row for each candidate, the best first: what varies, its rounds, its mean, and why it left."""
    sign, metric, names = -direction_sign(race.plan.direction), race.plan.metric, race.plan.names()
    rows: list[dict[str, Any]] = []
    seen = set[int]()
    for one in reversed(race.rounds):
        best = next(iter(one.means), None)
        for candidate in (*one.means, *(gone for gone in one.left if gone not in one.means)):
            if candidate in seen:
                continue
            seen.add(candidate)
            row: dict[str, Any] = {**race.plan.candidates[candidate]["values"], "rounds": one.number}
            if candidate in one.means:
                row[metric] = sign * one.means[candidate]
            if candidate in one.behind and best is not None:
                low, high = one.behind[candidate].interval(one.level)
                row["difference"] = (
                    f"{format_number(one.behind[candidate].mean)} ({format_number(low)} to {format_number(high)})"
                )
            if candidate in one.left:
                by = one.left[candidate]
                row["eliminated"] = "a trial failed" if by is None else f"worse than {names[by]}"
            rows.append(row)
    return rows


def describe_method(race: RaceRecord) -> str:
    """Describe the test and the figures in one paragraph."""
    plan = race.plan
    return (
        f"Each round trains the remaining candidates on {plan.folds} folds with a new seed and a new division of the"
        f" images; {plan.metric} is of the final weights. After each round a candidate leaves where another is better"
        f" by a paired t test with Nadeau and Bengio's correction for overlapping folds. The best one leaves with a"
        f" probability of {LEVEL:.0%} at most, over all rounds and candidates: alpha is spent by Lan and DeMets'"
        f" method, and shared equally. Intervals in brackets are at the level of these tests. Reported figures are of"
        f" {REPORT_ROUNDS} rounds after the race. A difference of {race.plan.margin:g} or less counts as none."
    )
