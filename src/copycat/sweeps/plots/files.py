"""Write the plots of a sweep as PNG files, with the same bytes for the same trials."""

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.inspection.reports.figures import encode_figure, plot_style
from copycat.sweeps.plots.importance import plot_importance
from copycat.sweeps.plots.parallel import plot_parallel
from copycat.sweeps.plots.results import Results, read_results
from copycat.sweeps.plots.scatter import plot_history, plot_pareto, plot_slices
from copycat.sweeps.plots.style import STYLE

PLOTS: dict[str, Callable[[Results], Figure]] = {
    "history": plot_history,
    "parallel": plot_parallel,
    "importance": plot_importance,
    "slice": plot_slices,
    "pareto": plot_pareto,
}


def write_plots(sweep: Path, to: Path) -> Iterator[Path]:
    """Write the plots of a sweep to a folder, which is made if it does not exist, and yield the path of each file.

    Raises:
        UserError: if there is no sweep, or the folder cannot be written to.
    """
    results = read_results(sweep)
    try:
        if to.is_symlink() and to.parent == sweep:  # in a stranger's sweep it could lead anywhere
            raise UserError(f"{to}: expected a folder; got a link. Name another: --to FOLDER.")
        to.mkdir(parents=True, exist_ok=True)
        for kind in list_plot_kinds(results):
            path = to / f"{kind}.png"
            write_whole(path, render_plot(kind, results))
            yield path
    except OSError as error:
        raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error


def list_plot_kinds(results: Results) -> list[str]:
    """Return the kinds of plots of a sweep; a Pareto front needs several objectives."""
    return [kind for kind in PLOTS if kind != "pareto" or len(results.objectives) > 1]


def make_plot(kind: str, results: Results) -> Figure:
    """Draw one plot."""
    with plot_style(STYLE):
        figure = PLOTS[kind](results)
        figure.draw_without_rendering()  # ticks take their style when they are first drawn
    return figure


def render_plot(kind: str, results: Results) -> bytes:
    """Draw one plot as the bytes of a PNG file."""
    return render_figure(lambda: PLOTS[kind](results))


def render_figure(draw: Callable[[], Figure]) -> bytes:
    """Return a figure, drawn in the style of all plots, as the bytes of a PNG file."""
    with plot_style(STYLE):
        return encode_figure(draw())
