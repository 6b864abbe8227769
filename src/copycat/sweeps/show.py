"""What `copycat runs` prints, of a sweep or of any folder of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.sweeps.summary import sweep_json
from copycat.sweeps.sweep_file import FILE
from copycat.sweeps.table import best_trial, print_sweep, read_sweep_facts
from copycat.tables.comparison import print_comparison, read_comparison, write_comparison
from copycat.tables.query import Query, select_rows
from copycat.tables.render import write_csv, write_json
from copycat.tables.run_reader import read_trials
from copycat.tables.run_table import best_run, print_runs, read_run_rows, rerun_command

Form = Literal["table", "best", "csv", "json"]
MOST = 12
"""Trials of a sweep that stand side by side."""


def show_runs(folder: Path, choice: Query, *, form: Form, by: str | None) -> None:
    """Print them to standard output.

    Args:
        by: the metric that the best is chosen by; None: a sweep's first objective, else val/loss.

    Raises:
        UserError: where there is no such folder, or what is asked for does not go together.
    """
    is_sweep = (folder / FILE).is_file()
    if by and form != "best":
        raise UserError(f"--by: expected --best beside it; got --by {by} alone.")
    if form == "best":
        print_line(
            rerun_command(best_trial(folder, choice) if is_sweep and not by else best_run(folder, choice, by=by))
        )
    elif form == "table":
        (print_sweep if is_sweep else print_runs)(folder, choice)
    elif is_sweep:
        sweep, _, rows = read_sweep_facts(folder, choice)
        if form == "csv":
            write_csv(rows)
        else:
            write_json(sweep_json(folder, sweep, rows))
    else:
        rows = select_rows(read_run_rows(folder), choice)
        if form == "csv":
            write_csv(rows)
        else:
            write_json({"runs": rows})


def show_compared(folders: Sequence[Path], *, form: Literal["table", "csv", "json"], equal: bool) -> None:
    """Print runs side by side to standard output; a sweep stands for its trials.

    Args:
        equal: whether keys that are the same everywhere are shown too.

    Raises:
        UserError: where one is no run, or there are fewer than two, or too many trials.
    """
    runs = [run for folder in folders for run in _runs(folder)]
    compared = read_comparison(runs)
    if form == "table":
        print_comparison(compared, equal=equal)
    else:
        write_comparison(compared, equal=equal, form=form)


def _runs(folder: Path) -> list[Path]:
    if not (folder / FILE).is_file():
        return [folder]
    trials = [row.folder for row in read_trials(folder)]
    if len(trials) > MOST:
        raise UserError(f"{folder}: expected a sweep of {MOST} trials or fewer; got {len(trials)}. Name some of them.")
    return trials
