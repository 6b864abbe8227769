"""Metrics by epoch as curves: training and validation of one run, or several runs."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from copycat.inspection.reports.figures import COLORS, LINE_STYLES, NotebookFigure, encode_figure, plot_style

Rows = Sequence[Mapping[str, float]]


def plot_curves(rows: Rows, metrics: Sequence[str], *, best: int | None = None) -> bytes:
    """Draw curves as `make_curves` does, and return the PNG."""
    with plot_style():
        return encode_figure(_make_panels(rows, metrics, best=best))


def make_curves(rows: Rows, metrics: Sequence[str], *, best: int | None = None) -> Figure:
    """Draw a panel for each metric, such as `loss`, with a line for each part that has it."""
    with plot_style():
        figure = _make_panels(rows, metrics, best=best)
        figure.draw_without_rendering()  # ticks take their style when they are first drawn
    return figure


def _make_panels(rows: Rows, metrics: Sequence[str], *, best: int | None) -> Figure:
    figure = NotebookFigure(figsize=(8, 2.6 * len(metrics)), dpi=120, layout="constrained")
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        for part, style in LINE_STYLES.items():
            _plot_line(axes, rows, f"{part}/{metric}", label=f"{part}/{metric}", **style)
        if best is not None:
            axes.axvline(best, color="#8C8C8C", lw=1, label=f"best epoch, {best}")
        axes.set_ylabel(metric)
        axes.legend(frameon=False)
    panels[-1].set_xlabel("epoch")
    return figure


def plot_compared_curves(runs: Mapping[str, Rows], metrics: Sequence[str], *, rest: Sequence[Rows] = ()) -> bytes:
    """Draw a panel for each metric, such as `val/loss`, with a line for each run, and return the PNG.

    Lines of the rest are gray, behind the others.
    """
    with plot_style():
        figure = Figure(figsize=(8, 2.6 * len(metrics) + 0.25 * len(runs)), dpi=120, layout="constrained")
        panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
        for axes, metric in zip(panels, metrics, strict=True):
            for rows in rest:
                _plot_line(axes, rows, metric, color="#C4C4C4", lw=0.8)
            for index, (name, rows) in enumerate(runs.items()):
                style = ("-", "--", ":", "-.")[index // len(COLORS) % 4]
                _plot_line(axes, rows, metric, label=name, color=COLORS[index % len(COLORS)], linestyle=style)
            axes.set_ylabel(metric)
        panels[-1].set_xlabel("epoch")
        legend = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend([*legend.values()], [*legend], loc="outside lower left", frameon=False)
        return encode_figure(figure)


def _plot_line(axes: object, rows: Rows, name: str, **style: object) -> None:
    points = [(row["epoch"], row[name]) for row in rows if name in row]
    if points:
        marker = "o" if len(points) == 1 else ""
        axes.plot(*zip(*points, strict=True), marker=marker, **style)  # type: ignore[attr-defined]
