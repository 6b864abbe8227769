"""Run a sweep, read a recorded one, and read the table of the runs in a folder."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copycat.api.run import PathInput, Run, load_run
from copycat.api.table import Table
from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.overrides import as_words
from copycat.config.process_lock import process_lock
from copycat.config.suggestions import did_you_mean, one_of
from copycat.data.sources.root import check_image_folder
from copycat.records.reader import find_runs
from copycat.sweeps.summary import group_configurations, is_done, rank_trials
from copycat.sweeps.sweep_file import SweepFile, check_sweep, has_race, read_sweep
from copycat.sweeps.table import read_trial_rows, summarize_sweep, trial_columns
from copycat.tables.run_table import read_run_rows, within_constraints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from copycat.config.sweep_composition import SweepRequest

# Optuna imports tqdm, which asks for ipywidgets in a notebook: the bars here need none
warnings.filterwarnings("ignore", "IProgress not found")


def read_runs(folder: PathInput = "outputs") -> Table:
    """Read the runs at or below a folder, the newest last, one row each.

    Raises:
        UserError: where there is no such folder.
    """
    return Table(read_run_rows(Path(folder)))


@process_lock()
def sweep(overrides: Sequence[str] = (), **keys: Any) -> "Sweep":
    """Train a run for each combination of values, or for each trial of a search, and return the sweep.

    Args:
        overrides: as after `copycat train -m`, such as `["optimizer.lr=1e-3,1e-4", "hydra/launcher=packed"]`.
        keys: further overrides of keys without a dot, such as `seed="1,2,3"`.

    Raises:
        UserError: where a value is refused, or the first trial cannot be built; then no folder is left. A later trial
            that cannot be built fails alone, as `status` and `trials` of the sweep say.
    """
    from copycat.config.application import launch_sweep
    from copycat.config.compose import quote_overrides
    from copycat.sweeps.launchers.trial import run_trial

    folder = launch_sweep(quote_overrides(as_words(overrides, keys)), trial=run_trial, begin=_begin)
    assert folder is not None
    return load_sweep(folder)


def _begin(request: "SweepRequest") -> Path:
    check_image_folder(request.first.config)
    from copycat.sweeps.start import start_sweep

    return start_sweep(request)


def load_sweep(path: PathInput) -> "Sweep":
    """Read the folder of a sweep.

    Raises:
        UserError: where it is no sweep.
    """
    return Sweep(path)


class Sweep:
    """Represent a recorded sweep."""

    def __init__(self, folder: PathInput) -> None:
        """Check sweep.json; it and the trials are read when they are asked for."""
        self.folder = Path(folder)
        self._absolute = self.folder.absolute()  # a program may change its working directory
        check_sweep(self.folder)
        read_sweep(self.folder)

    @property
    def _file(self) -> SweepFile:
        return read_sweep(self._absolute)

    @property
    def status(self) -> str:
        """Return `completed`, `failed`, `stopped`, `interrupted`, `running`, or `killed` where its process is gone."""
        return self._file.status

    @property
    def objectives(self) -> Mapping[str, str]:
        """Return `minimize` or `maximize` for each objective."""
        return dict(self._file.objectives)

    @property
    def trials(self) -> Table:
        """Return the trials from the best on, with number, status, values of what varies, objectives and metrics."""
        rows = read_trial_rows(self._absolute, self._file)
        typed = ({**row, "folder": str(self.folder / Path(row["folder"]).relative_to(self._absolute))} for row in rows)
        return Table([*typed], objectives=self._file.objectives)

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
            raise UserError(f"{self.folder}: expected a completed trial{within_constraints(rows)}; got none.")
        return self[done[0]["trial"]]

    def race(self) -> Sequence[str]:
        """Return the conclusions of the race of `sweep.prove=true`, in sentences; none where there was no race."""
        check_sweep(self._absolute)
        if not has_race(self._absolute):
            return ()
        from copycat.sweeps.race.record import read_race
        from copycat.sweeps.race.text import describe_race

        return tuple(describe_race(read_race(self._absolute), self.folder))

    def plot(self, kind: str = "slice") -> "Figure":
        """Draw the trials: a notebook shows the figure; elsewhere it has `savefig`.

        Args:
            kind: `history`, `parallel`, `importance` or `slice`; with several objectives also `pareto`.

        Raises:
            UserError: where matplotlib is not installed, or there is no such plot.
        """
        require_package("matplotlib", wanted_by="plot")
        from copycat.sweeps.plots.files import list_plot_kinds, make_plot
        from copycat.sweeps.plots.results import read_results

        results = read_results(self._absolute)
        if kind not in (kinds := list_plot_kinds(results)):
            raise UserError(f"kind: expected one of {one_of(kinds)}; got {kind!r}.{did_you_mean(kind, kinds)}")
        return make_plot(kind, results)

    def __getitem__(self, number: int) -> Run:
        """Return a trial by its number.

        Raises:
            UserError: where there is no such trial.
        """
        return load_run(self._absolute / str(number))

    def __len__(self) -> int:
        """Return the number of runs; a trial that has not started, or could not be built, has none."""
        return len(self._numbers())

    def __iter__(self) -> Iterator[Run]:
        """Iterate over the runs by the numbers of their trials."""
        return map(self.__getitem__, self._numbers())

    def _numbers(self) -> list[int]:
        check_sweep(self._absolute)
        found = (run.relative_to(self._absolute).as_posix() for run in find_runs(self._absolute))
        return sorted(int(name) for name in found if name.isdecimal())

    def __repr__(self) -> str:
        """Return folder and status."""
        return f"Sweep({str(self.folder)!r}, {self.status})"

    def _repr_html_(self) -> str:
        """Return the ranking as `copycat runs` prints it, for notebooks."""
        rows: list[Any] = list(self.trials)
        columns = trial_columns(rows, self._file, wide=True)
        table = Table([{title: cell(row) for title, cell in columns} for row in rows])
        return f"<p>{escape(f'{self.folder}: {summarize_sweep(self._file, rows)}')}</p>{table._repr_html_()}"
