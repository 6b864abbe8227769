"""Print the table of a sweep: its ranked trials, and its configurations over folds and seeds."""

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from copycat.config.dotted_keys import short_names
from copycat.config.errors import UserError
from copycat.config.printable import print_line, printable
from copycat.config.suggestions import one_of, pluralize
from copycat.records.lock import KILLED
from copycat.records.trial_file import FILE as TRIAL
from copycat.sweeps.summary import (
    Configuration,
    data_change_notes,
    find_overlap,
    find_pareto_front,
    group_configurations,
    is_done,
    rank_trials,
)
from copycat.sweeps.sweep_file import TIME_KEY, SweepFile, has_race, read_sweep
from copycat.tables.query import Query, select_rows
from copycat.tables.render import (
    WIDE_COLUMNS,
    Column,
    format_seconds,
    metric_cell,
    print_table,
    status_cell,
    status_notes,
    value_cell,
    wide_console,
)
from copycat.tables.run_row import FINAL, RunRow
from copycat.tables.run_table import read_run_rows, within_constraints
from copycat.tables.statistics import CLOSE, format_number

RESERVED_TITLES = ("trial", "status", "epochs", "seconds", "runs", "why")
"""Titles of columns that are not configuration keys."""


def read_sweep_rows(
    folder: Path, choice: Query, *, with_metrics: bool = True
) -> tuple[SweepFile, list[RunRow], list[RunRow]]:
    """Read a sweep, all its trials by rank, and the chosen ones by rank or in the order of the choice.

    The rows may lack metrics other than the objectives where these are not asked for.

    Raises:
        UserError: if sweep.json cannot be read, or the choice is invalid.
    """
    sweep = read_sweep(folder)
    needed = [*sweep.varies, *sweep.objectives]
    rows = read_trial_rows(folder, sweep, metrics=needed if choice.is_empty and not with_metrics else None)
    return sweep, rows, select_rows(rows, choice, known=needed)


def read_trial_rows(folder: Path, sweep: SweepFile, *, metrics: Collection[str] | None = None) -> list[RunRow]:
    """Read the trials of a sweep as rows, by rank; metrics as for `read_rows`."""
    return rank_rows(read_run_rows(folder, objectives=sweep.objectives, metrics=metrics), sweep)


def rank_rows(rows: Iterable[RunRow], sweep: SweepFile) -> list[RunRow]:
    """Rank the rows of a sweep that are of trials; with several objectives, mark those on the Pareto front."""
    rows = [row for row in rows if "trial" in row]
    if len(sweep.objectives) > 1:
        best = find_pareto_front(rows, sweep.objectives)
        rows = [{**row, "pareto": row["trial"] in best} for row in rows]
    return rank_trials(rows, sweep.objectives)


def print_sweep(folder: Path, choice: Query | None = None, *, max_rows: int | None = None) -> bool:
    """Print the table of a sweep to standard output, by rank unless `choice` says otherwise.

    Return whether all of its trials could be read.

    Raises:
        UserError: if sweep.json cannot be read, or the choice is invalid.
    """
    sweep, rows, shown = read_sweep_rows(folder, choice or Query(), with_metrics=False)
    quoted = shlex.quote(str(folder))
    print_line(f"{folder}: {summarize_sweep(sweep, rows)}")
    summed, repeats = group_configurations(shown, sweep), " and ".join(sweep.repeats)
    if repeats and not sweep.hyper_parameters:
        for one in summed:
            print_line(f"{_figures(one, sweep)} (mean ± standard deviation) over {repeats}; runs: {one.counts}")
    elif repeats:
        print_table(wide_console(), configuration_columns(sweep), configuration_rows(summed[:max_rows], sweep))
        print_line(f"each configuration over {repeats}: mean ± standard deviation of its completed runs")
        if any(one.is_close for one in summed):
            print_line(describe_close(sweep, summed))
        _print_omitted(len(summed), max_rows, "configuration", folder)
    console, first = wide_console(), shown[:max_rows]
    wide = console.width >= WIDE_COLUMNS
    if shown:
        columns = trial_columns(first, sweep, wide=wide)
        print_table(console, columns, first, shrinkable=("why",))
        _print_omitted(len(shown), max_rows, "trial", folder)
    elif rows:
        print_line(f"none of {pluralize(len(rows), 'trial')}")
    metrics = [name for name in sweep.objectives if "/" in name]
    if shown and metrics:
        seconds = "; seconds: wall time of the trial" if wide else ""
        final = [name for name in metrics if name.startswith(FINAL)]
        best = [name for name in metrics if name not in final]
        of = {"of each trial's best epoch": best, "of each trial's final weights": final}
        print_line("; ".join(f"{' and '.join(names)}: {what}" for what, names in of.items() if names) + seconds)
    for note in status_notes(shown):
        print_line(note)
    if has_race(folder):
        from copycat.sweeps.race.table import print_race  # which imports NumPy

        print_race(folder)
    elif not sweep.repeats and sum(is_done(row, sweep.objectives) for row in shown) > 1 and sweep.is_raceable:
        print_line(f"one run of each configuration: ranks may be chance; to prove the best: copycat prove {quoted}")
    if sweep.varying_images:
        print_line(
            f"{one_of(sweep.varying_images)} varies, and so may the images that validate: ranks compare metrics on"
            " other images"
        )
    for note in data_change_notes(shown, sweep):
        print_line(note)
    if any(row.get("pareto") for row in shown):
        print_line(f"*: on the Pareto front of {' and '.join(sweep.objectives)}")
    if sweep.is_out_of_time:
        print_line(f"{sweep.error}")
        print_line(f"to resume: copycat resume {quoted} {TIME_KEY}=MORE (in all, or null)")
    if sweep.status in (KILLED, "interrupted"):
        print_line(f"to resume: copycat resume {quoted}")
    if sweep.status == "failed" and sweep.sweeper == "grid" and not has_race(folder):
        print_line(f"to run again what failed: copycat resume {quoted} --failed")
    started = (place for place in folder.iterdir() if place.name.isdecimal() and not place.is_symlink())
    return len(rows) == sum((place / TRIAL).is_file() for place in started)


def summarize_sweep(sweep: SweepFile, rows: Sequence[RunRow]) -> str:
    """Summarize a sweep in one line: status, counts, best trial."""
    counts = Counter(row["status"] for row in rows)
    words = [f"{sweep.status}, {len(rows)} of {pluralize(sweep.trials, 'trial')}"]
    words += [f"{count} {name}" for name, count in counts.items() if name != sweep.status or count != len(rows)]
    name = next(iter(sweep.objectives))
    best = next((row for row in rows if is_done(row, sweep.objectives)), None)
    if best is not None:
        words.append(f"best {name} {format_number(best[name])} by trial {best['trial']}")
    return ", ".join(words)


def find_best_trial(folder: Path, choice: Query) -> RunRow:
    """Return the best run of the best configuration; print which one if seeds or folds vary.

    Raises:
        UserError: if no trial completed within the constraints.
    """
    sweep, _, rows = read_sweep_rows(folder, choice, with_metrics=False)
    done = [row for row in rank_trials(rows, sweep.objectives) if is_done(row, sweep.objectives)]
    if not done:
        raise UserError(f"--best: expected a completed trial{within_constraints(rows)}; got none in {folder}.")
    if not sweep.repeats:
        return done[0]
    for note in data_change_notes(rows, sweep):
        print_line(f"copycat: {note}", error=True)
    best = group_configurations(rows, sweep)[0]
    words = " ".join(f"{name}={printable(value)}" for name, value in best.values.items())
    which = f"{words}, " if sweep.hyper_parameters else ""
    text = f"the best of {pluralize(len(best.trials), 'run')} of the best configuration, {which}{_figures(best, sweep)}"
    print_line(f"copycat: {text}", error=True)
    return best.trials[0]


def trial_columns(rows: Sequence[RunRow], sweep: SweepFile, *, wide: bool) -> list[Column]:
    """Return the columns of a table of trials: varying keys, objectives, and epochs and seconds if it is wide."""
    titles: list[Column] = [("trial", lambda row: f"{row['trial']}{'*' if row.get('pareto') else ''}")]
    titles += [("status", status_cell(rows)), *_keys(sweep.varies, sweep)]
    titles += [(printable(name), metric_cell(name)) for name in sweep.objectives]
    if wide:
        timing: Sequence[Column] = (("epochs", metric_cell("epochs")), ("seconds", format_seconds))
        titles += [(name, cell) for name, cell in timing if name not in sweep.objectives]
    if any(map(_why, rows)):
        titles.append(("why", _why))
    return titles


def _why(row: RunRow) -> str:
    """Return why a trial is not ranked: its error, or the violated constraints."""
    if row["status"] == "failed":
        return row["error"] or ""
    return f"violates {row['violated_constraints']}" if "violated_constraints" in row else ""


def configuration_columns(sweep: SweepFile) -> list[Column]:
    """Return the columns of a table of configurations."""
    titles = _keys(sweep.hyper_parameters, sweep)
    return [*titles, *((printable(name), value_cell(name)) for name in ("runs", *sweep.objectives))]


def configuration_rows(summaries: Sequence[Configuration], sweep: SweepFile) -> list[RunRow]:
    """Return the rows of a table of configurations."""
    first = next(iter(sweep.objectives))
    return [
        {**one.values, "runs": one.counts, **{n: _figure(one, n, first) for n in sweep.objectives}} for one in summaries
    ]


def describe_close(sweep: SweepFile, configurations: Sequence[Configuration]) -> str:
    """Explain the mark of configurations that are not distinguishable from the best."""
    is_corrected = find_overlap(configurations) > 0
    corrected = ", with Nadeau and Bengio's correction for overlapping training images" if is_corrected else ""
    return (
        f"{CLOSE}: not distinguishable from the best by {printable(next(iter(sweep.objectives)))}: t tests"
        f"{corrected}, α = 0.05 with Holm's correction"
    )


def _keys(names: Sequence[str], sweep: SweepFile) -> list[Column]:
    short = short_names(names, [*RESERVED_TITLES, *sweep.objectives])
    return [(printable(short[name]), value_cell(name)) for name in names]


def _figure(one: Configuration, name: str, first: str) -> str:
    if not one.trials:
        return "–"
    mark = f" {CLOSE}" if one.is_close and name == first else ""
    return f"{format_number(one.mean(name))} ± {format_number(one.deviation(name))}{mark}"


def _figures(one: Configuration, sweep: SweepFile) -> str:
    return ", ".join(f"{name} {_figure(one, name, '')}" for name in sweep.objectives)


def _print_omitted(count: int, max_rows: int | None, what: str, folder: Path) -> None:
    if max_rows is not None and count > max_rows:
        print_line(f"and {pluralize(count - max_rows, what)} more: copycat runs {shlex.quote(str(folder))}")
