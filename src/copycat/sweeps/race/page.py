"""Make the section of a sweep's page that shows its race."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from copycat.config.suggestions import pluralize
from copycat.inspection.reports.contents import Axis, Chart, Fact, PageImage, Section, Series, SeriesStyle, Table, Tone
from copycat.sweeps.race.decision import Verdict
from copycat.sweeps.race.record import RaceRecord
from copycat.sweeps.race.table import race_columns
from copycat.sweeps.race.text import describe_method, describe_race, race_rows, summarize_race

MAX_LINES = 8
"""Candidates whose intervals are drawn, at most; the table has all of them."""
VALUES: Mapping[Verdict, str] = {
    "open": "unfinished",
    "best": "decided",
    "tied": "tied",
    "undecided": "undecided",
    "failed": "failed",
}


def make_race_fact(race: RaceRecord) -> Fact:
    """Make the finding of a race for the head of its sweep's page."""
    tone: Tone = "good" if race.verdict == "best" else "warn"
    rounds = f"{pluralize(len(race.rounds), 'round')} of {pluralize(race.plan.folds, 'fold')}"
    text = summarize_race(race)
    return Fact("Race", VALUES[race.verdict], f"race: {text}", f"{text}; {rounds}, by {race.plan.metric}", tone)


def make_race_section(race: RaceRecord, folder: Path) -> Section:
    """Make the section of a race; `folder` is that of its sweep."""
    columns = race_columns(race)
    cells = [[cell(row) for _, cell in columns] for row in race_rows(race)]
    sentences = [f"{_capitalize(line)}." for line in describe_race(race, folder)]
    return Section(
        title="Race",
        note=" ".join([*sentences, describe_method(race)]),
        table=Table(cells, [title for title, _ in columns]),
        images=[*_charts(race)],
    )


def _capitalize(line: str) -> str:
    return line if "/" in line.split()[0] else f"{line[0].upper()}{line[1:]}"  # a metric keeps its name


def _charts(race: RaceRecord) -> Iterator[PageImage]:
    """Draw each candidate's difference from the best one after each round, with its interval, and how many remained."""
    if not race.rounds:
        return
    names = race.plan.names()
    last = {one: round_.number for round_ in race.rounds for one in round_.means}
    shown = sorted(last, key=lambda one: -last[one])[:MAX_LINES]
    ends = [one.interval(race.rounds[-1].level) for one in race.rounds[-1].behind.values()] or [(0.0, 0.0)]
    span = min(0.0, *(low for low, _ in ends)), max(0.0, *(high for _, high in ends))  # of the last: earlier are wider
    middle = (len(shown) - 1) / 2
    series = [
        _line(race, one, names[one], SeriesStyle.of(place), span, shift=0.04 * (place - middle))
        for place, one in enumerate(shown)
    ]
    rounds = [round_.number for round_ in race.rounds]
    differences = Chart(
        title=f"{race.plan.metric}: difference from the best candidate of the round",
        x_axis=Axis(label="round", labels=[*map(str, rounds)]),  # a line's points stand beside their round
        y_axis=Axis(label="difference", range=(1.1 * span[0], 1.1 * span[1] or 1.0)),
        series=series,
    )
    remaining = Chart(
        title="Remaining candidates",
        x_axis=Axis(label="round"),
        y_axis=Axis(label="candidates"),
        x=[0, *rounds],
        series=[
            Series(
                label="remaining",
                y=[len(names), *(len(round_.remaining) for round_ in race.rounds)],
                markers=True,
            )
        ],
    )
    yield PageImage(b"", "A candidate whose interval lies above 0 is eliminated.", charts=[differences, remaining])


def _line(
    race: RaceRecord, candidate: int, name: str, style: SeriesStyle, span: tuple[float, float], *, shift: float
) -> Series:
    """Make a candidate's line, shifted so that intervals of one round stand side by side."""
    points: list[tuple[float, float, float, float]] = []
    for at, one in enumerate(race.rounds):
        if candidate in one.behind:
            low, high = one.behind[candidate].interval(one.level)
            inside = max(low, 1.1 * span[0]), min(high, 1.1 * span[1])
            points.append((at, one.behind[candidate].mean, *inside))
        elif candidate in one.means:
            points.append((at, 0.0, 0.0, 0.0))
    x, y, lows, highs = (list(column) for column in zip(*points, strict=True))
    return Series(
        label=name,
        x=[value + shift for value in x],
        y=y,
        low=lows,
        high=highs,
        markers=True,
        style=style,
    )
