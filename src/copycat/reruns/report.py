"""What a rerun prints: one line where it is the same, else where it differs first, how far, and the likely cause."""

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


def show_rerun(found: Rerun, *, tolerance: float | None) -> bool:
    """Print the verdict to standard output; whether the copy is as good as asked.

    Args:
        tolerance: distance, absolute or relative, up to which metrics and tensors count as the same; None: no bit.
    """
    comparison, what = found.comparison, _what(found)
    if not comparison.differences:
        print_line(f"identical: {what}, bit for bit")
        return True
    differences = comparison.differences if tolerance is None else comparison.beyond(tolerance)
    if tolerance is not None and not differences:
        print_line(f"within {tolerance:g}: {what}; {_largest(comparison.differences)}")
        return True
    shown = [*_first(differences[0]), *_apart(comparison), *_causes(found.causes)]
    _print(shown)
    return False


def show_check(causes: Sequence[Cause]) -> bool:
    """Print what differs in the fingerprints; whether nothing does."""
    if not causes:
        print_line("same fingerprints")
        return True
    _print(_causes(causes))
    return False


def _what(found: Rerun) -> str:
    epochs = pluralize(found.comparison.epochs, "epoch")
    status, error = found.original.manifest["status"], found.original.manifest["error"]
    if status == "completed":
        return f"{epochs}, {pluralize(found.comparison.tensors, 'tensor')}"
    kind = {"failed": "a failed run", "interrupted": "an interrupted run", "pruned": "a pruned run"}.get(
        status, "a run that was killed"
    )
    return f"{epochs} of {kind}" + (f" ({error})" if status == "failed" else "")


def _largest(differences: Sequence[Difference]) -> str:
    largest = max((d for d in differences if d.scaled is not None), key=lambda d: d.scaled or 0.0, default=None)
    if largest is None:
        return "the predictions alone differ"
    return f"largest distance {largest.scaled:.3g}, {_at(largest)}"


def _at(difference: Difference) -> str:
    epoch = difference.moment.epoch
    return difference.place + ("" if epoch is None else f" of epoch {epoch}")


def _first(first: Difference) -> Iterator[RenderableType]:
    table = Table(title="first difference", title_justify="left")
    for name in ("epoch", "step", "metric"):
        table.add_column(name, overflow="fold")
    for name in ("original", "copy"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("distance", overflow="fold")
    when = ("–" if n is None else str(n) for n in (first.moment.epoch, first.moment.step))
    values = first.pair.shown() if first.pair else tuple(printable(word or "there") for word in first.words)
    distance = first.pair.in_words if first.pair else "–"
    table.add_row(*when, printable(first.place), *values, distance)
    yield table


def _apart(comparison: Comparison) -> Iterator[RenderableType]:
    cells = sum(d.metric for d in comparison.differences)
    tensors = [d for d in comparison.differences if d.place.startswith(f"{WEIGHTS}: ")]
    yield _line(
        f"in all: {cells} of the metrics of {comparison.epochs} epochs, {len(tensors)} of {comparison.tensors} tensors"
    )
    if not (last := comparison.apart()):
        return
    pairs = [(d.place, d.pair) for d in last if d.pair is not None]
    place, pair = max(pairs, key=lambda found: found[1].distance)
    far = "one is not finite" if math.isinf(pair.distance) else f"{pair.distance:.6g}"
    line = f"apart at the end, epoch {comparison.epochs - 1}: {place} by {far}"
    stepped = [(name, found.ulps) for name, found in pairs if found.ulps is not None]
    if stepped:
        name, steps = max(stepped, key=lambda found: found[1])
        line += f"; {name} by {pluralize(steps, 'ulp')}"
    yield _line(line)


def _causes(causes: Sequence[Cause]) -> Iterator[RenderableType]:
    if not causes:
        yield _line(SUSPECTS)
        return
    yield _line("what differs, the likely cause first:")
    for number, cause in enumerate(causes, start=1):
        yield _line(f"{number}. {cause.kind}: {cause.line}")
        for detail in cause.details:
            yield _line(f"     {detail.expandtabs()}")


def _line(words: str) -> Text:
    return Text(printable(words), overflow="fold")


def _print(shown: Iterator[RenderableType] | Sequence[RenderableType]) -> None:
    # a pipe has no width: a table is not folded there
    console = make_console(width=None if os.isatty(1) else 160, soft_wrap=True)
    console.print(*shown, sep="\n")
