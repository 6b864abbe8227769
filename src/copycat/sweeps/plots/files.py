"""The plots of a sweep as PNG files: the same bytes for the same trials."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from copycat.config.errors import UserError
from copycat.sweeps.plots.history import history
from copycat.sweeps.plots.importance import importance
from copycat.sweeps.plots.parallel import parallel
from copycat.sweeps.plots.pareto import pareto
from copycat.sweeps.plots.results import Results, read_results
from copycat.sweeps.plots.slices import slices
from copycat.sweeps.plots.style import STYLE

PLOTS: dict[str, Callable[[Results], Figure]] = {
    "history": history,
    "parallel": parallel,
    "importance": importance,
    "slice": slices,
    "pareto": pareto,
}


def write_plots(sweep: Path, to: Path) -> Iterator[Path]:
    """Write history, parallel coordinates, importance and slice, and for several objectives their Pareto front.

    Args:
        to: a folder; made if need be.

    Raises:
        UserError: where there is no sweep, or the folder cannot be written to.
    """
    results = read_results(sweep)
    kinds = [kind for kind in PLOTS if kind != "pareto" or len(results.objectives) > 1]
    try:
        to.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            path = to / f"{kind}.png"
            save(PLOTS[kind], results, path)
            yield path
    except OSError as error:
        raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error


def save(plot: Callable[[Results], Figure], results: Results, path: Path) -> None:
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn for it
        plot(results).savefig(path, metadata={"Software": None})
