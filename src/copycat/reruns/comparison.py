"""Compare two runs bit by bit, in the order in which training recorded their values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from copycat.config.errors import UserError
from copycat.models.metrics import SCORE_NAMES
from copycat.records.checkpoint_file import damage
from copycat.records.metrics_csv import read_columns, read_history
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import FIRST_SCHEMA, Opened
from copycat.records.safe_tensors import read_checkpoint, read_weights
from copycat.reruns.difference import ABSENT, Difference, Moment, compare_trees, steps_per_epoch
from copycat.reruns.ulp import NumberPair

BEST, LAST = "best.ckpt", "last.ckpt"
Rows = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Comparison:
    """Hold the agreement of two runs, and their differences."""

    epochs: int
    """Rows of metrics.csv that both have."""
    tensors: int
    """Tensors of the final weights that both have."""
    differences: Sequence[Difference]
    """In training order; empty where all bits are equal."""
    cleaned: Sequence[str] = ()
    """Checkpoints of the original that `copycat clean` removed, which are not compared."""

    def beyond(self, tolerance: float) -> list[Difference]:
        """Return the differences larger than a tolerance, absolute and relative to the original value."""
        return [d for d in self.differences if d.scaled is not None and not d.scaled <= tolerance]

    def at_last_epoch(self) -> list[Difference]:
        """Return the differences in metrics at the last epoch that both runs have."""
        return [d for d in self.differences if d.is_metric and d.pair and d.moment.epoch == self.epochs - 1]


def compare(before: Opened, after: Opened) -> Comparison:
    """Compare metrics, checkpoints, weights, final metrics and predictions.

    Where the first run was interrupted or killed, only what it recorded is compared. Metrics that its version of
    Copycat did not measure are ignored.
    """
    completed = before.manifest["status"] == "completed"
    whole = completed or before.manifest["status"] == "failed"
    rows = _rows(before), _rows(after)
    step = steps_per_epoch(before)
    end = Moment(max(rows[0], default=None), step)
    differences = [*_compare_histories(*rows, whole=whole, step=step), *_compare_ends(before, after, end)]
    cleaned = [name for name in (BEST, LAST) if f"checkpoints/{name}" in before.manifest.get("cleaned", {})]
    if before.manifest["schema"] != FIRST_SCHEMA:
        # in a failed run it depends on timing whether the last epoch's checkpoint was already saved
        for name, is_whole in ((BEST, whole), (LAST, completed)):
            if name not in cleaned:
                differences += _compare_checkpoints(name, before, after, whole=is_whole, step=step)
    count = 0
    if completed:
        count, of_weights = _compare_weights(before, after, end)
        differences += [*of_weights, *_compare_results(before, after, end)]
    unknown = _unmeasured_metrics(before)
    differences = [d for d in differences if not (d.is_added and d.place.rpartition("/")[2] in unknown)]
    return Comparison(len(rows[0].keys() & rows[1].keys()), count, differences, cleaned)


def _unmeasured_metrics(run: Opened) -> set[str]:
    """Return the metrics that the Copycat version of a run did not measure."""
    try:
        known = read_columns(run.folder)
    except FileNotFoundError:
        return set()
    return set(SCORE_NAMES) - {name.rpartition("/")[2] for name in known}


def _rows(run: Opened) -> Rows:
    try:
        return {int(row.pop("epoch")): row for row in read_history(run.folder)}
    except FileNotFoundError:  # the run ended before its first epoch did
        return {}


def _compare_histories(before: Rows, after: Rows, *, whole: bool, step: int | None) -> Iterator[Difference]:
    for epoch in sorted(before.keys() | after.keys()) if whole else sorted(before):
        moment = Moment(epoch, step)
        if epoch not in before or epoch not in after:
            words = (ABSENT if epoch not in rows else "recorded" for rows in (before, after))
            yield Difference.of_words("epoch", moment, words)
            continue
        yield from _compare_metrics("", before[epoch], after[epoch], moment)


def _compare_metrics(
    prefix: str, before: Mapping[str, float], after: Mapping[str, float], moment: Moment
) -> Iterator[Difference]:
    """Yield the differences in metrics by name: of an epoch without a prefix, else of the final weights."""
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after:
            words = (str(metrics.get(name, ABSENT)) for metrics in (before, after))
            yield Difference.of_words(f"{prefix}{name}", moment, words)
        elif not (pair := NumberPair.of(before[name], after[name])).is_identical:
            yield Difference(f"{prefix}{name}", moment, pair, scaled=pair.scaled, is_metric=not prefix)


def _compare_ends(before: Opened, after: Opened, end: Moment) -> Iterator[Difference]:
    """Yield a difference unless a failed run fails again with the same error."""
    if before.manifest["status"] not in ("completed", "failed"):
        return
    ends = [_describe_end(run) for run in (before, after)]
    if ends[0] != ends[1]:
        yield Difference.of_words("end", end, ends)


def _describe_end(run: Opened) -> str:
    status, error = str(run.manifest["status"]), run.manifest["error"]
    return f"{status}: {str(error).replace(str(run.folder), 'RUN')}" if error else status


def _compare_checkpoints(
    name: str, before: Opened, after: Opened, *, whole: bool, step: int | None
) -> Iterator[Difference]:
    trees: list[Mapping[str, Any] | None] = []
    for run in (before, after):
        path = run.folder / "checkpoints" / name
        try:
            if path.exists() and (wrong := damage(path)):
                raise UserError(wrong)
            trees.append(read_checkpoint(path) if path.exists() else None)
        except UserError as error:
            yield _damaged(path, len(trees), error, Moment())
            return
    a, b = trees
    if a is None or b is None:
        if whole and a is not b:
            yield Difference.of_words(name, Moment(), (ABSENT if tree is None else "written" for tree in (a, b)))
        return
    if not whole and a.get("global_step") != b.get("global_step"):  # the copy trained further
        return
    # Lightning's loop counters depend on steps_per_execution; epoch and global_step are stored beside them
    a, b = ({key: value for key, value in tree.items() if key != "loops"} for tree in (a, b))
    yield from compare_trees(name, a, b, Moment(a.get("epoch"), step))


def _compare_weights(before: Opened, after: Opened, end: Moment) -> tuple[int, list[Difference]]:
    """Return the number of common tensors, and those that differ."""
    trees: list[Mapping[str, Tensor]] = []
    for run in (before, after):
        path = run.folder / WEIGHTS
        try:
            if not path.exists():
                raise UserError("it is gone")
            trees.append(read_weights(path))
        except UserError as error:
            return 0, [_damaged(path, len(trees), error, end)]
    a, b = trees
    return len(a.keys() & b.keys()), list(compare_trees(WEIGHTS, a, b, end))


def _damaged(path: Path, place: int, error: UserError, moment: Moment) -> Difference:
    words = ["", ""]
    words[place] = f"damaged: {str(error).removeprefix(f'{path}: ')}"
    return Difference.of_words(path.name, moment, words)


def _compare_results(before: Opened, after: Opened, end: Moment) -> Iterator[Difference]:
    """Yield the differences in metrics and predictions of the final weights."""
    a, b = (run.manifest["results"] for run in (before, after))
    yield from _compare_metrics("final ", a.get("final", {}), b.get("final", {}), end)
    digests = a.get("predictions_digest"), b.get("predictions_digest")
    if None not in digests and digests[0] != digests[1]:
        yield Difference("validation predictions", end, words=(str(digests[0]), str(digests[1])), scaled=None)
