"""Print the table of a sweep: its ranked trials, and its configurations over folds and seeds."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import print_line, printable
from copycat.config.suggestions import counted
from copycat.records.lock import KILLED
from copycat.sweeps.summary import (
    Configuration,
    find_pareto_front,
    group_configurations,
    is_done,
    rank_trials,
    split_axes,
)
from copycat.sweeps.sweep_file import SweepFile, read_sweep
from copycat.tables.query import Choice, chosen
from copycat.tables.render import WIDE, Column, given, measured, print_table, seconds, status, wide_console
from copycat.tables.run_row import Facts
from copycat.tables.run_table import read_facts
from copycat.tables.statistics import figure

RESERVED_TITLES = ("trial", "status", "epochs", "seconds", "runs", "why")
"""Titles of columns that are not configuration keys."""


def read_sweep_rows(folder: Path, choice: Choice) -> tuple[SweepFile, list[Facts], list[Facts]]:
    """Read a sweep, all its trials by rank, and the chosen ones by rank or in the order of the choice.

    Raises:
        UserError: if sweep.json cannot be read, or the choice is invalid.
    """
    sweep = read_sweep(folder)
    rows = [row for row in read_facts(folder, objectives=sweep.objectives) if "trial" in row]
    if len(sweep.objectives) > 1:
        best = find_pareto_front(rows, sweep.objectives)
        rows = [{**row, "pareto": row["trial"] in best} for row in rows]
    rows = rank_trials(rows, sweep.objectives)
    return sweep, rows, chosen(rows, choice, known=[*sweep.varies, *sweep.objectives])


def print_sweep(folder: Path, choice: Choice | None = None, *, most: int | None = None) -> None:
    """Print the table of a sweep to standard output.

    Args:
        folder: of the sweep.
        choice: filters and order of the rows; None for all by rank.
        most: maximum number of rows per table; None for all.

    Raises:
        UserError: if sweep.json cannot be read, or the choice is invalid.
    """
    sweep, rows, shown = read_sweep_rows(folder, choice or Choice())
    print_line(f"{folder}: {summarize_sweep(sweep, rows)}")
    repeats, others = split_axes(sweep)
    summed = group_configurations(shown, sweep)
    if repeats and not others:
        for one in summed:
            print_line(f"{_figures(one, sweep)} over {' and '.join(repeats)}; runs: {one.counts}")
    elif repeats:
        _print_configurations(summed[:most], sweep)
        _print_omitted(len(summed), most, "configuration", folder)
    if shown:
        _print_trials(shown[:most], sweep)
        _print_omitted(len(shown), most, "trial", folder)
    elif rows:
        print_line(f"none of {counted(len(rows), 'trial')}")
    if any(row.get("pareto") for row in shown):
        print_line(f"*: on the Pareto front of {' and '.join(sweep.objectives)}")
    if sweep.status in (KILLED, "interrupted"):
        print_line(f"to go on with it: copycat resume {shlex.quote(str(folder))}")


def summarize_sweep(sweep: SweepFile, rows: Sequence[Facts]) -> str:
    """Summarize a sweep in one line: status, counts, best trial."""
    counts = Counter(row["status"] for row in rows)
    words = [f"{sweep.status}, {len(rows)} of {counted(sweep.trials, 'trial')}"]
    words += [f"{count} {name}" for name, count in counts.items() if name != sweep.status or count != len(rows)]
    name = next(iter(sweep.objectives))
    best = next((row for row in rows if is_done(row, sweep.objectives)), None)
    if best is not None:
        words.append(f"best {name} {figure(best[name])} by trial {best['trial']}")
    return ", ".join(words)


def find_best_trial(folder: Path, choice: Choice) -> Facts:
    """Return the best run of the best configuration; print which one if seeds or folds vary.

    Raises:
        UserError: if no trial completed within the constraints.
    """
    sweep, _, rows = read_sweep_rows(folder, choice)
    done = [row for row in rank_trials(rows, sweep.objectives) if is_done(row, sweep.objectives)]
    if not done:
        within = " that keeps to sweep.constraints" if any("breaks" in row for row in rows) else ""
        raise UserError(f"--best: expected a completed trial{within}; got none in {folder}.")
    repeats, others = split_axes(sweep)
    if not repeats:
        return done[0]
    best = group_configurations(rows, sweep)[0]
    which = f"{' '.join(f'{name}={printable(value)}' for name, value in best.values.items())}, " if others else ""
    said = f"the best of {counted(len(best.trials), 'run')} of the best configuration, {which}{_figures(best, sweep)}"
    print_line(f"copycat: {said}", error=True)
    return best.trials[0]


def short_names(names: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Return titles for keys: the last part, with the name before an index, if that is unique; else the whole key."""
    last = {name: found[0] if (found := re.search(r"[^.]+(\.\d+)*$", name)) else name for name in names}
    ends = Counter([*last.values(), *taken])
    return {name: end if ends[end] == 1 else name for name, end in last.items()}


def _print_trials(rows: Sequence[Facts], sweep: SweepFile) -> None:
    console = wide_console()
    print_table(console, trial_columns(rows, sweep, wide=console.width >= WIDE), rows, gives=("why",))


def trial_columns(rows: Sequence[Facts], sweep: SweepFile, *, wide: bool) -> list[Column]:
    """Return the columns of a table of trials: varying keys, objectives, and epochs and seconds if it is wide."""
    titles: list[Column] = [("trial", lambda row: f"{row['trial']}{'*' if row.get('pareto') else ''}")]
    titles += [("status", status), *_keys(sweep.varies, sweep)]
    titles += [(printable(name), measured(name)) for name in sweep.objectives]
    if wide:
        titles += [(name, cell) for name, cell in WIDE_COLUMNS if name not in sweep.objectives]
    if any(map(_why, rows)):
        titles.append(("why", _why))
    return titles


WIDE_COLUMNS: Sequence[Column] = (("epochs", measured("epochs")), ("seconds", seconds))


def _why(row: Facts) -> str:
    """Return why a trial is not ranked: its error, or the violated constraints."""
    if row["status"] == "failed":
        return row["error"] or ""
    return f"breaks {row['breaks']}" if "breaks" in row else ""


def _print_configurations(found: Sequence[Configuration], sweep: SweepFile) -> None:
    print_table(wide_console(), configuration_columns(sweep), configuration_rows(found, sweep))


def configuration_columns(sweep: SweepFile) -> list[Column]:
    """Return the columns of a table of configurations."""
    titles = _keys(split_axes(sweep)[1], sweep)
    return [*titles, *((printable(name), given(name)) for name in ("runs", *sweep.objectives))]


def configuration_rows(found: Sequence[Configuration], sweep: SweepFile) -> list[Facts]:
    """Return the rows of a table of configurations."""
    return [{**one.values, "runs": one.counts, **{n: _figure(one, n) for n in sweep.objectives}} for one in found]


def _keys(names: Sequence[str], sweep: SweepFile) -> list[Column]:
    short = short_names(names, [*RESERVED_TITLES, *sweep.objectives])
    return [(printable(short[name]), given(name)) for name in names]


def _figure(one: Configuration, name: str) -> str:
    if not one.trials:
        return "–"
    deviation = one.deviation(name)
    return f"{figure(one.mean(name))} ± {'–' if deviation is None else figure(deviation)}"


def _figures(one: Configuration, sweep: SweepFile) -> str:
    return ", ".join(f"{name} {_figure(one, name)}" for name in sweep.objectives)


def _print_omitted(count: int, most: int | None, what: str, folder: Path) -> None:
    if most is not None and count > most:
        print_line(f"and {counted(count - most, what)} more: copycat runs {folder}")
