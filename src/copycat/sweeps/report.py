"""Make the HTML page of `copycat report`; for a sweep its ranking, plots and request."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from copycat.inspection.reports.comparison_page import make_comparison_page
from copycat.inspection.reports.contents import PageImage, Section, Table
from copycat.inspection.reports.page import Page
from copycat.inspection.reports.run_page import make_run_page
from copycat.records.lock import RUNNING
from copycat.records.reader import find_runs
from copycat.records.run_folder import MANIFEST
from copycat.sweeps.plots.files import list_plot_kinds, render_plot
from copycat.sweeps.plots.results import Results, make_results
from copycat.sweeps.summary import group_configurations, is_done, split_axes
from copycat.sweeps.sweep_file import FILE, SweepFile, read_sweep
from copycat.sweeps.table import (
    configuration_columns,
    configuration_rows,
    make_trial_rows,
    summarize_sweep,
    trial_columns,
)
from copycat.tables.render import Column
from copycat.tables.run_row import RunRow
from copycat.tables.run_table import read_run_records, rerun_command
from copycat.tables.statistics import format_number

MAX_ROWS = 200
"""Maximum number of trials in the table."""
CAPTIONS = {
    "history": "Optimization history: each trial by its number, and the best value so far",
    "parallel": "Parallel coordinates: each completed trial as a line through its values, better trials darker",
    "importance": "Hyper-parameter importance",
    "slice": "Objective against each hyper-parameter",
    "pareto": "Objectives against each other, with the Pareto front",
}
"""Caption of each plot."""


def make_report(folders: Sequence[Path]) -> Page:
    """Make the page of a run, of a sweep, or of several runs: the named ones, or all in a folder.

    Raises:
        UserError: if there are none.
    """
    if len(folders) > 1:
        return make_comparison_page(folders, title=" ".join(map(str, folders)))
    (folder,) = folders
    if (folder / FILE).is_file():
        return make_sweep_page(folder)
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return make_run_page(folder)
    runs = list(find_runs(folder))
    if len(runs) > 1:
        return make_comparison_page(runs, title=str(folder))
    return make_run_page(runs[0] if runs else folder)


def make_sweep_page(folder: Path) -> Page:
    """Make the page of a sweep from its folder alone.

    Raises:
        UserError: if sweep.json cannot be read.
    """
    sweep, records = read_sweep(folder), read_run_records(folder)
    rows = make_trial_rows(records, folder, sweep)
    plots = _plots(make_results(folder, sweep, records))
    sections = [*_ranking(sweep, rows), *plots, _request(sweep), *_next(folder, sweep, rows)]
    return Page(str(folder), summarize_sweep(sweep, rows), sections)


def _ranking(sweep: SweepFile, rows: Sequence[RunRow]) -> Iterator[Section]:
    repeats, others = split_axes(sweep)
    if repeats and others:
        summed = configuration_rows(group_configurations(rows, sweep), sweep)
        note = f"Mean ± deviation over {' and '.join(repeats)}, best first."
        yield Section(title="Configurations", note=note, table=_table(configuration_columns(sweep), summed))
    if rows:
        note = "Best first."
        if len(rows) > MAX_ROWS:
            note += f" The first {MAX_ROWS} of {len(rows)}; all of them: copycat runs."
        yield Section(title="Trials", note=note, table=_table(trial_columns(rows, sweep, wide=True), rows[:MAX_ROWS]))


def _table(titles: Sequence[Column], rows: Sequence[RunRow]) -> Table:
    return Table([[cell(row) for _, cell in titles] for row in rows], [title for title, _ in titles])


def _plots(results: Results) -> Iterator[Section]:
    best = {name: results.get_best_trial(name) for name in results.objectives}
    best_so_far = "; ".join(
        f"the best {name} is {format_number(trial.objectives[name])}, by trial {trial.number}"
        for name, trial in best.items()
        if trial
    )
    images = [
        PageImage(
            render_plot(kind, results),
            f"{CAPTIONS[kind]}{f': {best_so_far}' if kind == 'history' and best_so_far else ''}.",
            kind,
        )
        for kind in list_plot_kinds(results)
    ]
    yield Section(title="Plots", images=images)


def _request(sweep: SweepFile) -> Section:
    rows = [[name, space] for name, space in sweep.space.items()]
    words = shlex.join(["copycat", "train", "-m", *sweep.words])
    return Section(title="Configuration", table=Table(rows), code=words)


def _next(folder: Path, sweep: SweepFile, rows: Sequence[RunRow]) -> Iterator[Section]:
    summed = group_configurations(rows, sweep)
    done = summed[0].trials if summed else [row for row in rows if is_done(row, sweep.objectives)]
    if done:
        yield Section(title="Reproduce the best trial", code=rerun_command(done[0]))
    if sweep.status not in ("completed", "failed", RUNNING):
        yield Section(title="Resume", code=f"copycat resume {shlex.quote(str(folder))}")
