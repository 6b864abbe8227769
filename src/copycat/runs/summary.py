"""What a run prints when it ends: losses, metrics, where it lies, what to type next. Reads the run folder alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from copycat.models.metrics import NAMES
from copycat.runs.folder import read_manifest
from copycat.runs.history import read_history


def losses(folder: Path, epochs: Sequence[int] | None) -> list[str]:
    """Lines `Epoch 10, Loss 0.644706`, in the lecture's form.

    Args:
        epochs: counted from 0; None takes 1, 2, 5, 10, 20, 50, … and the first and the last.
    """
    rows = {int(row["epoch"]): row["train/loss"] for row in read_history(folder)}
    chosen = _round(rows) if epochs is None else [epoch for epoch in epochs if epoch in rows]
    return [f"Epoch {epoch}, Loss {rows[epoch]:f}" for epoch in chosen]


def _round(rows: Mapping[int, float]) -> list[int]:
    steps = {0, *(first * 10**zeros for zeros in range(7) for first in (1, 2, 5)), max(rows, default=0)}
    return sorted(steps & rows.keys())


def summary(folder: Path) -> list[RenderableType]:
    """The table of metrics, and below it what a reader should know and may type."""
    manifest = read_manifest(folder)
    came_out = manifest["came_out"]
    shown: list[RenderableType] = []
    columns = {"final": came_out.get("final", {}), **_best(came_out)}
    if any(columns.values()):
        shown.append(_table(columns))
    lines = [f"{manifest['status']} after {came_out['epochs']} epochs, {manifest['seconds']:.1f} s"]
    if manifest["error"]:
        lines.append(f"{manifest['status']}: {manifest['error']}")
    if manifest["data"]["warnings"]:
        lines.append(f"data: {'; '.join(manifest['data']['warnings'])}")
    lines += [f"in {folder}", f"next: copycat board {folder}", "      copycat runs"]
    return [*shown, *(Text(line, overflow="fold") for line in lines)]


def _best(came_out: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    best = came_out.get("best")
    return {f"epoch {best['epoch']}, best {best['monitor']}": best["metrics"]} if best else {}


def _table(columns: Mapping[str, Mapping[str, float]]) -> Table:
    stages = [stage for stage in ("train", "val", "test") if any(f"{stage}/loss" in c for c in columns.values())]
    table = Table()
    table.add_column("metric")
    places = [(title, stage) for title, found in columns.items() for stage in stages if f"{stage}/loss" in found]
    for title, stage in places:
        table.add_column(f"{stage}\n{title}", justify="right")
    for name in ("loss", *NAMES):
        values = (columns[title].get(f"{stage}/{name}") for title, stage in places)
        table.add_row(name, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def show(folder: Path, epochs: Sequence[int] | None) -> None:
    """Print losses and summary to standard output."""
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n".join(losses(folder, epochs)))
    console.print(*summary(folder), sep="\n")
