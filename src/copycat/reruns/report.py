"""Print the result of a rerun: one line if identical, else the first difference, its size, and the likely cause."""

import math
import os
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from copycat.config.printable import make_console, print_line, printable
from copycat.config.suggestions import pluralize
from copycat.provenance.diagnosis import Cause
from copycat.records.run_folder import WEIGHTS
from copycat.reruns.comparison import Comparison
from copycat.reruns.difference import Difference
from copycat.reruns.rerun import Rerun

SUSPECTS = (
    "nothing differs in the fingerprints: data, config, code, packages, Python, machine. What is left to suspect: an"
    " operation that is not deterministic here (trainer.deterministic: true refuses those that torch knows), the"
    " driver or firmware of an accelerator, code outside the package, or memory."
)

IN_PACK = "to compare with a trial of a pack, type --tolerance 1e-4"
RANKS = (
    "of a trial of a pack, scores by the order of predictions (AUROC, accuracy) may differ by an image or a pair of"
    " images with nearly equal predictions: compare the losses"
)


def print_rerun(rerun: Rerun, *, tolerance: float | None) -> bool:
    """Print the verdict to standard output, and return whether the copy agrees with the original.

    Metrics and tensors within a tolerance, absolute or relative, count as equal; None: bit for bit.
    """
    comparison, description = rerun.comparison, _describe_run(rerun)
    if comparison.cleaned:
        print_line(f"not compared: {' and '.join(comparison.cleaned)}, which copycat clean removed from the original")
    if not comparison.differences:
        print_line(f"identical: {description}, bit for bit")
        return True
    differences = comparison.differences if tolerance is None else comparison.beyond(tolerance)
    if tolerance is not None and not differences:
        print_line(f"within {tolerance:g}: {description}; {_largest(comparison.differences)}")
        return True
    shown = [*_first_difference(differences[0]), *_totals(comparison), *_causes(rerun.causes)]
    if any(cause.kind == "pack" for cause in rerun.causes):
        shown.append(_line(IN_PACK if tolerance is None else RANKS))
    _print(shown)
    return False


def print_check(causes: Sequence[Cause]) -> bool:
    """Print the differences in fingerprints, and return whether there are none."""
    if not causes:
        print_line("same fingerprints")
        return True
    _print(_causes(causes))
    return False


def _describe_run(rerun: Rerun) -> str:
    epochs = pluralize(rerun.comparison.epochs, "epoch")
    status, error = rerun.original.manifest["status"], rerun.original.manifest["error"]
    if status == "completed":
        return f"{epochs}, {pluralize(rerun.comparison.tensors, 'tensor')}"
    kind = {"failed": "a failed run", "interrupted": "an interrupted run", "pruned": "a pruned run"}.get(
        status, "a run that was killed"
    )
    return f"{epochs} of {kind}" + (f" ({error})" if status == "failed" else "")


def _largest(differences: Sequence[Difference]) -> str:
    largest = max((d for d in differences if d.scaled is not None), key=lambda d: d.scaled or 0.0, default=None)
    if largest is None:
        return "the predictions alone differ"
    epoch = "" if largest.moment.epoch is None else f" of epoch {largest.moment.epoch}"
    return f"largest distance {largest.scaled:.3g}, {largest.place}{epoch}"


def _first_difference(first: Difference) -> Iterator[RenderableType]:
    table = Table(title="first difference", title_justify="left")
    for name in ("epoch", "step", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("original", "copy"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("distance", overflow="fold")
    when = ("–" if n is None else str(n) for n in (first.moment.epoch, first.moment.step))
    values = first.pair.format() if first.pair else tuple(printable(word or "there") for word in first.words)
    distance = first.pair.description if first.pair else "–"
    table.add_row(*when, printable(first.place), *values, distance)
    yield table
    if first.pair:
        yield _line("ulp: unit in the last place, the step from one floating-point number to the next")


def _totals(comparison: Comparison) -> Iterator[RenderableType]:
    cells = sum(d.is_metric for d in comparison.differences)
    tensors = [d for d in comparison.differences if d.place.startswith(f"{WEIGHTS}: ")]
    yield _line(
        f"in all: {pluralize(cells, 'value')} in the metrics of {pluralize(comparison.epochs, 'epoch')},"
        f" and {len(tensors)} of {comparison.tensors} tensors"
    )
    if not (last := comparison.at_last_epoch()):
        return
    pairs = [(d.place, d.pair) for d in last if d.pair is not None]
    place, pair = max(pairs, key=lambda item: item[1].distance)
    distance = "one is not finite" if math.isinf(pair.distance) else f"{pair.distance:.6g}"
    line = f"largest difference of the last epoch, {comparison.epochs - 1}: {place} by {distance}"
    stepped = [(name, item.ulps) for name, item in pairs if item.ulps is not None]
    if stepped:
        name, steps = max(stepped, key=lambda item: item[1])
        line += f"; {name} by {pluralize(steps, 'ulp')}"
    yield _line(line)


def _causes(causes: Sequence[Cause]) -> Iterator[RenderableType]:
    if not causes:
        yield _line(SUSPECTS)
        return
    yield _line("differences between the fingerprints, the most likely cause first:")
    for number, cause in enumerate(causes, start=1):
        yield _line(f"{number}. {cause.kind}: {cause.line}")
        for detail in cause.details:
            yield _line(f"     {detail.expandtabs()}")


def _line(words: str) -> Text:
    return Text(printable(words), overflow="fold")


def _print(shown: Iterator[RenderableType] | Sequence[RenderableType]) -> None:
    # a pipe has no width, and a table should not be folded there
    console = make_console(width=None if os.isatty(1) else 160, soft_wrap=True)
    console.print(*shown, sep="\n")
