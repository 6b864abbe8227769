"""Make the HTML page of `copycat report`."""

from collections.abc import Sequence
from pathlib import Path

from copycat.inspection.reports.comparison_page import make_comparison_page
from copycat.inspection.reports.page import Page
from copycat.inspection.reports.run_page import make_run_page
from copycat.records.reader import find_runs
from copycat.records.run_folder import MANIFEST
from copycat.sweeps.sweep_file import FILE


def make_report(folders: Sequence[Path]) -> Page:
    """Make the page of a run, of a sweep, or of several runs: the named ones, or all in a folder.

    Raises:
        UserError: if there are none.
    """
    if len(folders) > 1:
        return make_comparison_page(folders)
    (folder,) = folders
    if (folder / FILE).is_file():
        from copycat.sweeps.sweep_page import make_sweep_page  # Optuna takes longer to import than a run's whole page

        return make_sweep_page(folder)
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return make_run_page(folder)
    runs = list(find_runs(folder))
    if len(runs) > 1:
        return make_comparison_page(runs)
    return make_run_page(runs[0] if runs else folder)
