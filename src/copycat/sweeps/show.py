"""Print the output of `copycat runs` and `copycat compare`, for sweeps and for folders of runs."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.sweeps.summary import make_sweep_json
from copycat.sweeps.sweep_file import FILE, read_sweep
from copycat.sweeps.table import find_best_trial, print_sweep, read_sweep_rows
from copycat.tables.query import Query, select_rows
from copycat.tables.render import write_csv, write_json
from copycat.tables.run_reader import RunRecord, read_trials
from copycat.tables.run_row import FINAL, RunRow
from copycat.tables.run_table import best_run, print_runs, read_run_rows, rerun_command
from copycat.tables.statistics import Direction

if TYPE_CHECKING:
    from copycat.tables.paper_table import PaperRequest  # which imports what the other forms do not need

OutputForm = Literal["table", "best", "csv", "json", "latex", "markdown"]
PAPER_SUFFIXES = {"latex": "tex", "markdown": "md"}
"""Suffixes of files that hold a table for a paper."""
MAX_COMPARED = 12
"""Maximum number of trials in a comparison."""


def show_runs(
    folder: Path,
    choice: Query,
    *,
    form: OutputForm,
    by: str | None,
    paper: "PaperRequest | None" = None,
) -> None:
    """Print the runs of a folder to standard output.

    Args:
        folder: of a sweep, or any folder of runs.
        choice: filters and order of the rows.
        form: kind of output; `best` is the command that reruns the best run.
        by: metric that chooses the best run; None for a sweep's first objective, else val/loss.
        paper: what a table in LaTeX or Markdown shows; None for its defaults.

    Raises:
        UserError: if the folder does not exist, or the options contradict each other.
    """
    is_sweep = (folder / FILE).is_file()
    if by and form != "best":
        raise UserError(f"--by: expected --best beside it; got --by {by} alone.")
    if form == "best" and (choice.sort or choice.descending):
        flag, metric = ("--sort", quote(choice.sort)) if choice.sort else ("--descending", "METRIC")
        raise UserError(f"{flag}: expected a table; got --best, which has no order. Type --best --by {metric}.")
    if form == "best":
        if is_sweep and not by:
            best = find_best_trial(folder, choice)
        else:
            best = best_run(folder, choice, by=by, objectives=read_sweep(folder).objectives if is_sweep else {})
        print_line(rerun_command(best))
    elif form == "table":
        (print_sweep if is_sweep else print_runs)(folder, choice)
    else:
        if is_sweep:
            sweep, _, rows = read_sweep_rows(folder, choice)
        else:
            rows = select_rows(read_run_rows(folder), choice)
        if form in ("latex", "markdown"):
            from copycat.tables.paper_table import PaperRequest

            for line in render_paper_table(
                rows, paper or PaperRequest(), form=form, objectives=sweep.objectives if is_sweep else ()
            ):
                print(line)  # control characters are escaped
        elif form == "csv":
            write_csv(rows)
        else:
            write_json(make_sweep_json(folder, sweep, rows) if is_sweep else {"runs": rows})


def render_paper_table(
    rows: Sequence[RunRow],
    request: "PaperRequest",
    *,
    form: Literal["latex", "markdown"],
    objectives: Collection[str] = (),
) -> Iterator[str]:
    """Render completed runs as a table for a paper; `objectives` are those of their sweep.

    Raises:
        UserError: as for `make_paper_table`.
    """
    from copycat.tables.latex import render_latex
    from copycat.tables.markdown import render_markdown
    from copycat.tables.paper_table import make_paper_table

    table = make_paper_table(
        rows,
        request,
        defaults=list(objectives),
        from_best=[n for n in objectives if "/" in n and not n.startswith(FINAL)],
    )
    return render_latex(table) if form == "latex" else render_markdown(table)


def write_paper_table(
    folders: Sequence[Path], request: "PaperRequest", *, form: Literal["latex", "markdown"], to: Path | None
) -> Path:
    """Write the table of runs, of a sweep, or of several of them, and return its path.

    Raises:
        UserError: as for `make_paper_table`, and where the file cannot be written.
    """
    (first, *others), objectives = folders, dict[str, Direction]()
    if not others and (first / FILE).is_file():
        sweep, rows, _ = read_sweep_rows(first, Query())
        objectives = sweep.objectives
    else:
        rows = [row for folder in folders for row in read_run_rows(folder)]
    lines = render_paper_table(rows, request, form=form, objectives=objectives)
    path = to or (Path() if others else first) / f"report.{PAPER_SUFFIXES[form]}"
    try:
        write_whole(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise UserError(f"--to: expected a file to write; got {path}: {error.strerror}.") from error
    return path


def show_compared(folders: Sequence[Path], *, form: Literal["table", "csv", "json"], equal: bool) -> None:
    """Print a comparison of runs to standard output; a sweep stands for its trials.

    `equal` shows keys with the same value in all runs too.

    Raises:
        UserError: if a folder holds no run, or there are fewer than two runs, or too many trials.
    """
    from copycat.tables.comparison import read_comparison
    from copycat.tables.comparison_table import print_comparison, write_comparison

    runs: list[Path] = []
    records: dict[Path, RunRecord] = {}
    for folder in folders:
        if not (folder / FILE).is_file():
            runs.append(folder)
            continue
        trials = {trial.folder: trial for trial in read_trials(folder)}
        if len(trials) > MAX_COMPARED:
            expected = f"a sweep of {MAX_COMPARED} trials or fewer"
            raise UserError(f"{folder}: expected {expected}; got {len(trials)}. Name some of them.")
        runs += trials
        records |= trials
    compared = read_comparison(runs, records=records)
    if form == "table":
        print_comparison(compared, equal=equal)
    else:
        write_comparison(compared, equal=equal, form=form)
