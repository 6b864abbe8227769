"""Run a named experiment and compare it with its recorded results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.config.own_modules import allow_own_modules
from copycat.config.places import RESULT_SUFFIXES, experiment_folders
from copycat.config.printable import Notify, make_console, print_line, printable
from copycat.config.suggestions import first_line, pluralize
from copycat.records.metrics_csv import read_history
from copycat.training.train import train


@dataclass(frozen=True)
class ExpectedResult:
    """Hold a number recorded as text, and the one that a run gave."""

    place: str
    recorded: str
    actual: float | None
    is_loss: bool
    tolerance: float | None = None
    """Relative or absolute difference that its file allows."""

    @property
    def actual_text(self) -> str:
        """Format the run's number with as many digits as were recorded."""
        if self.actual is None:
            return "–"
        _, _, digits = self.recorded.partition(".")
        return f"{self.actual:.{len(digits)}f}"

    def matches(self, tolerance: float | None) -> bool:
        """Return whether both agree in all recorded digits, or within an absolute or relative tolerance."""
        tolerance = self.tolerance if tolerance is None else tolerance
        if self.actual is None or tolerance is None:
            return self.actual_text == self.recorded
        recorded = float(self.recorded)
        return abs(self.actual - recorded) <= tolerance * max(1.0, abs(recorded)) or self.actual_text == self.recorded


def rerun_experiment(name: str, *, notify: Notify, data: Path | None = None) -> list[ExpectedResult]:
    """Train an experiment, on the images of another folder if one is given, and look up each recorded number.

    Raises:
        UserError: where no results are recorded, or it cannot be trained.
        KeyboardInterrupt: where a signal interrupted it.
    """
    expected = _read_expected(name)
    request = compose([f"experiment={name}", *([] if data is None else [f"data.root={data}"])])
    allow_own_modules(request.config)
    outcome = train(request)
    notify(f"the run lies in {outcome.folder}")
    if outcome.status == "interrupted":
        raise KeyboardInterrupt
    if outcome.status == "failed":
        notify(f"failed: {outcome.manifest['error']}")
    try:
        losses = {str(int(row["epoch"])): row["train/loss"] for row in read_history(outcome.folder)}
    except FileNotFoundError:  # the run failed in its first epoch
        losses = {}
    # without duplicates: the lecture's table and the measured results share some
    return list({result: None for record in expected for result in _results(record, losses, outcome.manifest)})


def print_results(results: Sequence[ExpectedResult], *, tolerance: float | None) -> bool:
    """Print the verdict to standard output, and return whether all results agree."""
    differing = [result for result in results if not result.matches(tolerance)]
    losses = sum(result.is_loss for result in results)
    if not differing:
        allowed = next((r.tolerance for r in results if r.tolerance), None) if tolerance is None else tolerance
        how = "to all digits" if allowed is None else f"within {allowed:g}"
        print_line(f"same: {pluralize(losses, 'loss', 'losses')}, {pluralize(len(results) - losses, 'metric')}, {how}")
        return True
    table = Table(title=f"{len(differing)} of {len(results)} results differ", title_justify="left")
    table.add_column("result")
    table.add_column("recorded", justify="right")
    table.add_column("now", justify="right")
    for result in differing:
        table.add_row(*map(printable, (result.place, result.recorded, result.actual_text)))
    make_console().print(table)
    return False


def _read_expected(name: str) -> list[Mapping[str, Any]]:
    folder = next(folder for folder in experiment_folders() if (folder / f"{name}.yaml").is_file())
    files = [file for ending in RESULT_SUFFIXES if (file := folder / f"{name}{ending}").is_file()]
    if not files:
        raise UserError(f"{folder / name}.json: expected the results to compare with; got none.")
    records = []
    for file in files:
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            for part in ("losses", "final", "best"):
                {float(text) for text in record.get(part, {}).values()}
            float(record.get("tolerance") or 0)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: expected losses and final, numbers as text; {first_line(error)}.") from error
        records.append(record)
    return records


def _results(
    record: Mapping[str, Any], losses: Mapping[str, float], manifest: Mapping[str, Any]
) -> Iterator[ExpectedResult]:
    final, best = manifest["results"].get("final", {}), manifest["results"].get("best", {})
    allowed = record.get("tolerance")
    for epoch, text in record.get("losses", {}).items():
        yield ExpectedResult(f"train/loss of epoch {epoch}", text, losses.get(epoch), is_loss=True, tolerance=allowed)
    for name, text in record.get("final", {}).items():
        yield ExpectedResult(f"final {name}", text, final.get(name), is_loss=False)
    for name, text in record.get("best", {}).items():
        value = best.get("epoch") if name == "epoch" else best.get("metrics", {}).get(name)
        yield ExpectedResult(f"best {name}", str(text), value, is_loss=False)
    if "epochs" in record:
        yield ExpectedResult("epochs", str(record["epochs"]), manifest["results"].get("epochs"), is_loss=False)
