"""Read a sweep, and the table of the runs in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copycat.api.run import PathInput, Run, load_run
from copycat.api.table import Table
from copycat.config.errors import UserError
from copycat.sweeps.summary import group_configurations, is_done, rank_trials
from copycat.sweeps.sweep_file import SweepFile, read_sweep
from copycat.sweeps.table import make_trial_rows
from copycat.tables.run_table import read_run_records, read_run_rows


def read_runs(folder: PathInput = "outputs") -> Table:
    """Read the runs at or below a folder, the newest last, one row each.

    Raises:
        UserError: where there is no such folder.
    """
    return Table(read_run_rows(Path(folder)))


def load_sweep(path: PathInput) -> "Sweep":
    """Read the folder of a sweep.

    Raises:
        UserError: where it is no sweep.
    """
    return Sweep(Path(path))


class Sweep:
    """Represent a recorded sweep."""

    def __init__(self, folder: Path) -> None:
        """Read sweep.json; trials are read when they are asked for."""
        self.folder = folder
        self._file: SweepFile = read_sweep(folder)

    @property
    def status(self) -> str:
        """Return `completed`, `failed`, `stopped`, `interrupted`, `running`, or `killed` where its process is gone."""
        return self._file.status

    @property
    def objectives(self) -> Mapping[str, str]:
        """Return the direction of each objective: `minimize` or `maximize`."""
        return dict(self._file.objectives)

    @property
    def trials(self) -> Table:
        """Return the trials from the best on: number, status, values of what varies, objectives and metrics."""
        return Table(make_trial_rows(read_run_records(self.folder), self.folder, self._file))

    def best(self) -> Run:
        """Return the best trial; where seeds or folds vary, the best trial of the best configuration.

        Raises:
            UserError: where no trial completed within the constraints.
        """
        rows: list[Any] = list(self.trials)
        groups = group_configurations(rows, self._file)
        ranked = groups[0].trials if groups else rank_trials(rows, self._file.objectives)
        done = [row for row in ranked if is_done(row, self._file.objectives)]
        if not done:
            raise UserError(f"{self.folder}: expected a completed trial; got none.")
        return load_run(done[0]["folder"])

    def __getitem__(self, number: int) -> Run:
        """Return a trial by its number.

        Raises:
            UserError: where there is no such trial.
        """
        return load_run(self.folder / str(number))

    def __repr__(self) -> str:
        """Return folder and status."""
        return f"Sweep({str(self.folder)!r}, {self.status})"

    def _repr_html_(self) -> str:
        """Return the table of trials, for notebooks."""
        return f"<p>{self!r}</p>{self.trials._repr_html_()}"
