"""Print a run: losses during training; at its end metrics, folder and next commands, from its folder alone."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from pytorch_lightning.loggers import Logger
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from copycat.config.metric_names import with_mean_loss
from copycat.config.printable import make_console, printable
from copycat.config.suggestions import format_epochs, pluralize
from copycat.models.metrics import describe_unlisted, list_quantities

STAGES = ("train", "val", "test")


class PrintedLosses(Logger):
    """Print `Epoch 10, Loss 0.644706`, the lecture's form, as each selected epoch ends.

    Args:
        epochs: epochs to print, from 0, besides the last; None selects 0, 1, 2, 5, 10, 20, 50, …; [] none at all.
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
        if self._waiting and self.epochs != []:
            print(loss_line(*self._waiting), flush=True)
        self._waiting = None


def loss_line(epoch: int, loss: float) -> str:
    """Format epoch and loss as the lecture does."""
    return f"Epoch {epoch}, Loss {loss:f}"


def is_round(epoch: int) -> bool:
    """Return whether an epoch is 0, 1, 2, 5, 10, 20, 50 and so on."""
    return str(epoch).rstrip("0") in ("", "1", "2", "5")


def summary(folder: Path, manifest: Mapping[str, Any], *, max_epochs: int | None = None) -> list[RenderableType]:
    """Return the table of metrics, followed by status, warnings and folder."""
    results, data = manifest["results"], manifest["data"]
    shown: list[RenderableType] = []
    # the mean over several batches is comparable with losses of whole parts
    final, best = results.get("final", {}), with_mean_loss(results.get("best", {}).get("metrics", {}))
    epoch = results["best"]["epoch"] if best else None
    if final or best:
        shown.append(_table(final, best, epoch=epoch))
    lines = (
        [*_column_notes(results), *score_note(data["classes"], multi_label=bool(data.get("multi_label")))]
        if shown
        else []
    )
    link = {"failed": ": ", "pruned": ": ", "interrupted": " by "}.get(manifest["status"])
    why = f"{link}{manifest['error']}" if link else ""
    lines += _early_end(folder, manifest)
    epochs = format_epochs(results.get("epochs", 0), of=max_epochs)
    seconds = manifest["seconds"]  # a run whose first rank was killed has none
    lines.append(f"{manifest['status']} after {epochs}{'' if seconds is None else f', {seconds:.1f} s'}{why}")
    if manifest["data"]["warnings"]:
        lines.append(f"data: {'; '.join(manifest['data']['warnings'])}")
    lines.append(f"in {folder}")
    return [*shown, *(Text(printable(line), overflow="fold") for line in lines)]


def score_note(classes: Sequence[str], *, multi_label: bool) -> list[str]:
    """Return the line that says of which class precision, recall and f1 are; empty for more than two classes."""
    if multi_label:
        return ["scores: means over the classes, each predicted above 0.5"]
    return [f"precision, recall, f1: of class {classes[1]}"] if len(classes) == 2 else []


def next_commands(folder: Path, *, status: str | None = None, root: Path | None = None) -> str:
    """Return the commands to type next after a run of this status, or after a sweep.

    `root` is the folder of runs, where it is not the default.
    """
    name = quote(str(folder))
    runs = "runs" if root is None else f"runs {quote(str(root))}"
    commands = {
        None: (f"runs {name}", f"report {name}", f"plots {name}"),
        "completed": (f"report {name}", f"predict {name} IMAGE", f"rerun {name}", runs),
    }.get(status, (f"resume {name}", runs))
    board = [f"board {name}"] if any(folder.rglob("*.tfevents.*")) else []
    return "next: " + "\n      ".join(printable(f"copycat {words}") for words in (*board, *commands))


def _early_end(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Report that training ended before its last epoch, and how to resume."""
    if ended := manifest["results"].get("ended_early"):
        inside = f" and {pluralize(ended['batch'], 'batch', 'batches')} of the next" if ended["batch"] else ""
        epochs = pluralize(ended["max_epochs"], "epoch")
        yield f"training ended by {ended['by']} after {ended['epoch']} of {epochs}{inside}"
        yield f"to resume: copycat resume {quote(str(folder))} {ended['by']}=MORE (in all; null: to the last epoch)"


def _column_notes(results: Mapping[str, Any]) -> Iterator[str]:
    """Explain the columns: an epoch's training loss, which is printed as it ends, is not that of its last weights."""
    if results.get("final"):
        yield "final weights: evaluated once, after the last epoch"
    if best := results.get("best"):
        yield f"epoch {best['epoch']}: the best {printable(best['monitor'])}"
        yield "during an epoch: measured before each update, as the losses printed above"
    if unlisted := describe_unlisted([*results.get("final", {}), *results.get("best", {}).get("metrics", {})]):
        yield unlisted


def _table(final: Mapping[str, float], best: Mapping[str, float], *, epoch: int | None) -> Table:
    columns = [(f"{stage}\nfinal\nweights", stage, final) for stage in STAGES if f"{stage}/loss" in final]
    columns += [
        (f"{stage}\n{'during' if stage == 'train' else 'after'}\nepoch {epoch}", stage, best)
        for stage in STAGES
        if f"{stage}/loss" in best
    ]
    table = Table()
    table.add_column("metric", overflow="fold")
    for title, _, _ in columns:
        table.add_column(title, justify="right", overflow="fold")  # on a narrow terminal no digit is lost
    for name in list_quantities([*final, *best]):
        values = (metrics.get(f"{stage}/{name}") for _, stage, metrics in columns)
        table.add_row(name, *("–" if value is None else f"{value:.4f}" for value in values))
    return table


def show(folder: Path, manifest: Mapping[str, Any], *, max_epochs: int | None = None) -> None:
    """Print the summary of a run, of so many epochs at most, to standard output."""
    make_console(soft_wrap=True).print(*summary(folder, manifest, max_epochs=max_epochs), sep="\n")
