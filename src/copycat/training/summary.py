"""Print a run: losses during training; at its end metrics, folder and next commands, from its folder alone."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from copycat.config.printable import make_console, printable
from copycat.models.metrics import SCORE_NAMES


class PrintedLosses(Logger):
    """Print `Epoch 10, Loss 0.644706`, the lecture's form, as each selected epoch ends.

    Args:
        epochs: epochs to print, from 0; None selects 0, 1, 2, 5, 10, 20, 50, … and the last.
    """

    def __init__(self, epochs: Sequence[int] | None) -> None:
        """Start without a pending loss."""
        super().__init__()
        self.epochs = epochs
        self._waiting: tuple[int, float] | None = None

    name = version = None

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Ignore hyper-parameters."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Print the loss of a selected epoch; keep others, of which the last is printed."""
        if "train/loss" not in metrics or step is None:
            return
        last = step, metrics["train/loss"]
        if step in self.epochs if self.epochs is not None else is_round(step):
            print(loss_line(*last), flush=True)
            self._waiting = None
        else:
            self._waiting = last

    def purge(self, epoch: int) -> None:
        """Ignore the purge of a resumed run: printed lines stay."""

    def finalize(self, status: str) -> None:
        """Print the last loss, where it is pending."""
        if self.epochs is None and self._waiting:
            print(loss_line(*self._waiting), flush=True)
        self._waiting = None


def loss_line(epoch: int, loss: float) -> str:
    """Format epoch and loss as the lecture does."""
    return f"Epoch {epoch}, Loss {loss:f}"


def is_round(epoch: int) -> bool:
    """Return whether an epoch is 0, 1, 2, 5, 10, 20, 50 and so on."""
    return str(epoch).rstrip("0") in ("", "1", "2", "5")


def summary(folder: Path, manifest: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table of metrics, followed by status, warnings and folder."""
    results = manifest["results"]
    shown: list[RenderableType] = []
    columns = {"final": results.get("final", {}), **_best(results)}
    if any(columns.values()):
        shown.append(_table(columns))
    lines = positive_class_note(manifest["data"]["classes"]) if shown else []
    why = {
        "failed": f": {manifest['error']}",
        "pruned": f": {manifest['error']}",
        "interrupted": f" by {manifest['error']}",
    }.get(manifest["status"], "")
    lines.append(f"{manifest['status']} after {results.get('epochs', 0)} epochs, {manifest['seconds']:.1f} s{why}")
    if manifest["data"]["warnings"]:
        lines.append(f"data: {'; '.join(manifest['data']['warnings'])}")
    lines.append(f"in {folder}")
    return [*shown, *(Text(printable(line), overflow="fold") for line in lines)]


def positive_class_note(classes: Sequence[str]) -> list[str]:
    """Return the line that names the class of precision, recall and f1; empty for more than two classes."""
    return [f"precision, recall and f1 are of: {classes[1]}"] if len(classes) == 2 else []


def next_commands(folder: Path, *, status: str | None = None) -> str:
    """Return the commands to type next after a run of this status, or after a sweep."""
    lines = ["copycat runs"] if status else [f"copycat runs {folder}", f"copycat plots {folder}"]
    if status == "completed":
        lines.insert(0, f"copycat rerun {folder}")
    elif status:
        lines.insert(0, f"copycat resume {folder}")
    if any(folder.rglob("*.tfevents.*")):
        lines.insert(0, f"copycat board {folder}")
    return "next: " + "\n      ".join(map(printable, lines))


def _best(results: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    best = results.get("best")
    if not best:
        return {}
    # the mean over several batches is comparable with losses of whole parts
    metrics = {**best["metrics"], "train/loss": best["metrics"].get("train/loss_mean", best["metrics"]["train/loss"])}
    return {f"epoch {best['epoch']}, best {printable(best['monitor'])}": metrics}


def _table(columns: Mapping[str, Mapping[str, float]]) -> Table:
    stages = [stage for stage in ("train", "val", "test") if any(f"{stage}/loss" in c for c in columns.values())]
    table = Table()
    table.add_column("metric")
    places = [(title, stage) for title, metrics in columns.items() for stage in stages if f"{stage}/loss" in metrics]
    for title, stage in places:
        table.add_column(f"{stage}\n{title}", justify="right")
    for name in ("loss", *SCORE_NAMES):
        values = (columns[title].get(f"{stage}/{name}") for title, stage in places)
        table.add_row(name, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def show(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Print a run's summary to standard output."""
    make_console(soft_wrap=True).print(*summary(folder, manifest), sep="\n")
