"""Metrics of each epoch as curves, training and validation of one metric together."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib.style
from matplotlib.figure import Figure

# of Okabe and Ito, https://jfly.uni-koeln.de/color/: told apart by the colour-blind
LINES: Mapping[str, Mapping[str, str]] = {
    "train": {"color": "#0072B2", "linestyle": "-"},
    "val": {"color": "#D55E00", "linestyle": "--"},
    "test": {"color": "#000000", "linestyle": ":"},
}


def curves(rows: Sequence[Mapping[str, float]], metrics: Sequence[str], *, best: int | None = None) -> bytes:
    """A PNG with a panel for each metric.

    Args:
        rows: of metrics.csv.
        metrics: as `loss`; each part that has it gets a line.
        best: the epoch that is marked.
    """
    with matplotlib.style.context(["default", {"axes.grid": True, "grid.color": "#E6E6E6", "font.size": 9}]):
        figure = Figure(figsize=(8, 2.6 * len(metrics)), dpi=120, layout="constrained")
        panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
        for axes, metric in zip(panels, metrics, strict=True):
            for part, style in LINES.items():
                name = f"{part}/{metric}"
                points = [(row["epoch"], row[name]) for row in rows if name in row]
                if points:
                    marker = "o" if len(points) == 1 else ""
                    axes.plot(*zip(*points, strict=True), label=name, marker=marker, **style)
            if best is not None:
                axes.axvline(best, color="#8C8C8C", lw=1, label=f"best epoch, {best}")
            axes.set_ylabel(metric)
            axes.legend(frameon=False)
        panels[-1].set_xlabel("epoch")
        figure.savefig(found := BytesIO(), metadata={"Software": None})
    return found.getvalue()
