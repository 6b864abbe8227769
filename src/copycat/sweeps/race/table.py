"""Print a race: its table, its result, and how it was found."""

from pathlib import Path

from copycat.config.dotted_keys import short_names
from copycat.config.printable import print_line, printable
from copycat.sweeps.race.record import RaceRecord, read_race
from copycat.sweeps.race.text import describe_race, race_rows
from copycat.tables.render import Column, metric_cell, print_table, value_cell, wide_console

TITLES = ("rounds", "difference", "eliminated")


def print_race(folder: Path) -> None:
    """Print the race of a sweep to standard output."""
    race = read_race(folder)
    if race.rounds:
        print_table(wide_console(), race_columns(race), race_rows(race), shrinkable=("eliminated",))
        print_line(
            f"{race.plan.metric}: of final weights, mean over seeds and folds; difference: from the best of the round"
        )
    for line in describe_race(race, folder):
        print_line(line)


def race_columns(race: RaceRecord) -> list[Column]:
    """Return the columns of a table of candidates."""
    keys = dict.fromkeys(key for one in race.plan.candidates for key in one["values"])
    short = short_names(keys, [*TITLES, race.plan.metric])
    columns = [(printable(short[key]), value_cell(key)) for key in keys]
    rounds, difference, eliminated = ((title, value_cell(title)) for title in TITLES)
    return [*columns, rounds, (race.plan.metric, metric_cell(race.plan.metric)), difference, eliminated]
