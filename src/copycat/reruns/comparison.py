"""Two runs, held against each other bit by bit, in the order in which training made what they recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line
from copycat.models.metrics import NAMES
from copycat.records.checkpoint_file import damage
from copycat.records.metrics_csv import FILE as HISTORY
from copycat.records.metrics_csv import read_columns, read_history
from copycat.records.run_folder import WEIGHTS
from copycat.records.run_loader import Opened
from copycat.records.safe_tensors import read_checkpoint, read_weights
from copycat.reruns.difference import ABSENT, Difference, Moment, compare_trees
from copycat.reruns.steps_per_epoch import steps_an_epoch
from copycat.reruns.ulp import Pair

BEST, LAST = "best.ckpt", "last.ckpt"
Rows = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not."""

    epochs: int
    """Rows of metrics.csv that both have."""
    tensors: int
    """Of the final weights, in both."""
    differences: Sequence[Difference]
    """In training order; none where all bits are the same."""

    def beyond(self, tolerance: float) -> list[Difference]:
        """The differences that are larger, absolute and relative to what was there before."""
        return [d for d in self.differences if d.scaled is not None and not d.scaled <= tolerance]

    def apart(self) -> list[Difference]:
        """How far the metrics of the last epoch that both have lie apart."""
        return [d for d in self.differences if d.metric and d.pair and d.moment.epoch == self.epochs - 1]


def compare(before: Opened, after: Opened) -> Comparison:
    """Metrics, checkpoints, weights, final metrics and predictions.

    Where the first run was interrupted or killed, what it has is compared, and what it lacks is not missed. Neither is
    a score that it is too old to know.
    """
    completed = before.manifest["status"] == "completed"
    whole = completed or before.manifest["status"] == "failed"
    rows = _rows(before), _rows(after)
    step = steps_an_epoch(before)
    end = Moment(max(rows[0], default=None), step)
    found = [*_histories(*rows, whole=whole, step=step), *_ends(before, after, end)]
    found += _checkpoints(BEST, before, after, whole=whole, step=step)
    # where a run fails, it hangs on the clock whether the last epoch's was saved, or its saving still waited
    found += _checkpoints(LAST, before, after, whole=completed, step=step)
    if completed:
        count, of_weights = _weights(before, after, end)
        found += [*of_weights, *_closing(before, after, end)]
    else:
        count = 0
    unknown = _unknown(before)
    found = [d for d in found if not (d.is_added and d.place.rpartition("/")[2] in unknown)]
    return Comparison(len(rows[0].keys() & rows[1].keys()), count, found)


def _unknown(run: Opened) -> set[str]:
    """Scores that the version of Copycat which made a run did not measure."""
    try:
        known = read_columns(run.folder)
    except FileNotFoundError:
        return set()
    return set(NAMES) - {name.rpartition("/")[2] for name in known}


def _rows(run: Opened) -> Rows:
    try:
        return {int(row.pop("epoch")): row for row in read_history(run.folder)}
    except FileNotFoundError:  # it ended before its first epoch did
        return {}
    except (ValueError, KeyError) as error:
        said = first_line(error).removeprefix(f"{HISTORY}: ")
        raise UserError(f"{run.folder / HISTORY}: expected a row of numbers an epoch; {said}.") from error


def _histories(before: Rows, after: Rows, *, whole: bool, step: int | None) -> Iterator[Difference]:
    for epoch in sorted(before.keys() | after.keys()) if whole else sorted(before):
        moment = Moment(epoch, step)
        if epoch not in before or epoch not in after:
            said = (ABSENT if epoch not in rows else "recorded" for rows in (before, after))
            yield Difference.of_words("epoch", moment, said)
            continue
        a, b = before[epoch], after[epoch]
        for name in dict.fromkeys([*a, *b]):
            if name not in a or name not in b:
                yield Difference.of_words(name, moment, (str(row.get(name, ABSENT)) for row in (a, b)))
            elif not (pair := Pair.of(a[name], b[name])).same:
                yield Difference.of_pair(name, pair, moment, metric=True)


def _ends(before: Opened, after: Opened, end: Moment) -> Iterator[Difference]:
    """A run that failed must fail again, and alike."""
    if before.manifest["status"] not in ("completed", "failed"):
        return
    said = [_end(run) for run in (before, after)]
    if said[0] != said[1]:
        yield Difference.of_words("end", end, said)


def _end(run: Opened) -> str:
    error = run.manifest["error"]
    return (
        f"{run.manifest['status']}: {str(error).replace(str(run.folder), 'RUN')}" if error else run.manifest["status"]
    )


def _checkpoints(name: str, before: Opened, after: Opened, *, whole: bool, step: int | None) -> Iterator[Difference]:
    found: list[Mapping[str, Any] | None] = []
    for run in (before, after):
        path = run.folder / "checkpoints" / name
        try:
            if path.exists() and (wrong := damage(path)):
                raise UserError(wrong)
            found.append(read_checkpoint(path) if path.exists() else None)
        except UserError as error:
            yield _damaged(path, len(found), error, Moment())
            return
    a, b = found
    if a is None or b is None:
        if whole and a is not b:
            yield Difference.of_words(name, Moment(), (ABSENT if tree is None else "written" for tree in (a, b)))
        return
    if not whole and a.get("global_step") != b.get("global_step"):  # the copy went on from there
        return
    # what Lightning's loops counted depends on how many steps were taken at once; where training stood is beside it
    a, b = ({key: value for key, value in tree.items() if key != "loops"} for tree in (a, b))
    yield from compare_trees(name, a, b, Moment(a.get("epoch"), step))


def _weights(before: Opened, after: Opened, end: Moment) -> tuple[int, list[Difference]]:
    """How many tensors there are, and which differ."""
    found: list[Mapping[str, Tensor]] = []
    for run in (before, after):
        path = run.folder / WEIGHTS
        try:
            if not path.exists():
                raise UserError("it is gone")
            found.append(read_weights(path))
        except UserError as error:
            return 0, [_damaged(path, len(found), error, end)]
    a, b = found
    return len(a.keys() & b.keys()), list(compare_trees(WEIGHTS, a, b, end))


def _damaged(path: Path, place: int, error: UserError, moment: Moment) -> Difference:
    words = ["", ""]
    words[place] = f"damaged: {str(error).removeprefix(f'{path}: ')}"
    return Difference.of_words(path.name, moment, words)


def _closing(before: Opened, after: Opened, end: Moment) -> Iterator[Difference]:
    """Metrics and predictions of the final weights."""
    a, b = (run.manifest["results"] for run in (before, after))
    finals = a.get("final", {}), b.get("final", {})
    for name in dict.fromkeys([*finals[0], *finals[1]]):
        values = [final.get(name) for final in finals]
        if values[0] is None or values[1] is None:
            yield Difference.of_words(f"final {name}", end, (ABSENT if v is None else str(v) for v in values))
        elif not (pair := Pair.of(values[0], values[1])).same:
            yield Difference.of_pair(f"final {name}", pair, end)
    digests = a.get("predictions_digest"), b.get("predictions_digest")
    if None not in digests and digests[0] != digests[1]:
        yield Difference("validation predictions", end, words=(str(digests[0]), str(digests[1])), scaled=None)
