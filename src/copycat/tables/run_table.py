"""The table of runs, read from their folders. Imports nothing heavy."""

import shlex
from collections.abc import Collection, Iterable
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.rule import is_number
from copycat.config.suggestions import pluralize
from copycat.records.lock import KILLED
from copycat.tables.index import read_rows
from copycat.tables.query import Choice, chosen, named, ordered
from copycat.tables.render import WIDE, Column, interval, majority, measured, print_table, seconds, status, wide_console
from copycat.tables.run_row import Facts, columns, facts
from copycat.tables.statistics import natural

SHOWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
BESIDE = 26
"""Columns of a terminal that what an accuracy is to be held against takes."""
MOST_RESUMES = 5
"""Commands that are shown to resume runs."""


def check_folder(root: Path) -> None:
    """Check that a folder of runs is there.

    Raises:
        UserError: where it is not.
    """
    if not root.is_dir():
        raise UserError(f"{root}: expected a folder of runs; got none. Make a run: copycat train.")


def read_facts(root: Path, *, objectives: Collection[str] = ()) -> list[Facts]:
    """The runs at or below a folder, the newest last; those that cannot be read are named on standard error.

    Raises:
        UserError: where there is no such folder.
    """
    check_folder(root)
    found = read_rows(root)
    for line in found.broken:
        print_line(f"copycat: {line}", error=True)
    return ordered((facts(row, root, objectives=objectives) for row in found.rows), "started")


def print_runs(root: Path, choice: Choice | None = None) -> None:
    """Print the runs at or below a folder to standard output, the newest last unless sorted otherwise.

    Raises:
        UserError: where there is no such folder, or the choice is none.
    """
    rows = read_facts(root)
    shown = chosen(rows, choice or Choice())
    if not shown:
        none = f"none of {pluralize(len(rows), 'run')} in {root}"
        print_line(none if rows else f"no runs in {root}. Make one: copycat train")
        return
    console = wide_console()
    wide = console.width >= WIDE + BESIDE
    titles: list[Column] = [
        ("run", lambda row: row["run"]),
        ("status", status),
        ("overrides", lambda row: row["overrides"]),
        *((f"final\n{name}", measured(f"final/{name}")) for name in (SHOWN if wide else SHOWN[-1:])),
        ("\n95 %", interval),
        ("\nmajority", majority),
    ]
    if wide:
        titles += [("epochs", measured("epochs")), ("seconds", seconds)]
    print_table(console, titles, shown, gives=("run", "overrides"))
    print_resumes(shown, root)


def best_run(root: Path, choice: Choice, *, by: str | None) -> Facts:
    """The completed run with the best figure.

    Args:
        by: its name; None: val/loss.

    Raises:
        UserError: where there is none, or that figure is of the test part.
    """
    rows, by = read_facts(root), by or "val/loss"
    name = named(by, columns(rows), after="--by") if rows else by
    if "test/" in name:
        raise UserError(f"--by: expected a metric of train or val, since to choose by test is to learn it; got {by!r}.")
    completed = [row for row in chosen(rows, choice) if row["status"] == "completed" and is_number(row.get(name))]
    if not completed:
        raise UserError(f"--best: expected a completed run with {by}; got none in {root}.")
    return ordered(completed, name, descending=natural(name) == "maximize")[0]


def print_resumes(rows: Iterable[Facts], root: Path) -> None:
    """Print the commands that resume those of the runs that were killed; trials go on with their sweep."""
    killed = [row for row in rows if row["status"] == KILLED]
    folders = [*dict.fromkeys(Path(row["folder"]).parent if "trial" in row else Path(row["folder"]) for row in killed)]
    for folder in folders[:MOST_RESUMES]:
        print_line(f"killed; to go on with it: copycat resume {shlex.quote(str(folder))}")
    if len(folders) > MOST_RESUMES:
        more = shlex.join(["copycat", "runs", str(root), "--filter", f"status={KILLED}", "--csv"])
        print_line(f"and {len(folders) - MOST_RESUMES} more: {more}")


def rerun_command(row: Facts) -> str:
    """What to type to run it again."""
    return f"copycat rerun {shlex.quote(row['folder'])}"
