"""The plots of a sweep as PNG files: the same bytes for the same trials."""

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from copycat.config.errors import UserError
from copycat.records.run_folder import write_whole
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
    try:
        if to.is_symlink() and to.parent == sweep:  # of a folder of somebody else's: what it leads to is not in it
            raise UserError(f"{to}: expected a folder; got a link. Name another: --to FOLDER.")
        to.mkdir(parents=True, exist_ok=True)
        for kind in kinds(results):
            path = to / f"{kind}.png"
            write_whole(path, draw(kind, results))
            yield path
    except OSError as error:
        raise UserError(f"--to: expected a folder to write to; got {to}: {error.strerror}.") from error


def kinds(results: Results) -> list[str]:
    """The plots that it has."""
    return [kind for kind in PLOTS if kind != "pareto" or len(results.objectives) > 1]


def draw(kind: str, results: Results) -> bytes:
    """One of them, as PNG."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn for it
        PLOTS[kind](results).savefig(found := BytesIO(), format="png", metadata={"Software": None})
    return found.getvalue()
