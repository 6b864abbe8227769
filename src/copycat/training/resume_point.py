"""Find the checkpoint from which a run resumes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from copycat.config.printable import Notify
from copycat.records.checkpoint_file import damage
from copycat.records.metrics_csv import digest_rows, read_history
from copycat.records.run_loader import Opened, read_checkpoint
from copycat.training.checkpoints import BEFORE, CHECKPOINT_KEY
from copycat.training.lightning_internals import Position, has_stopped_early


@dataclass(frozen=True)
class ResumePoint:
    """Represent the point from which a run resumes."""

    position: Position
    checkpoint: Path | None
    """None: restart from the beginning."""
    has_finished: bool = False
    """Whether training ended there, after its last epoch or early."""
    has_stopped_early: bool = False
    """Whether early stopping ended it, which may have been with its last epoch."""


def find_resume_point(opened: Opened, *, notify: Notify) -> ResumePoint:
    """Return the newest intact checkpoint for which metrics.csv has all rows."""
    point = next(_list_checkpoints(opened, notify=notify), None)
    if point is not None:
        notify(describe_resume(point))
        return point
    why = ", as copycat clean removed it" if opened.manifest.get("cleaned") else ""
    notify(f"no checkpoint to resume from{why}: starting from the beginning")
    return ResumePoint(Position(0), None)


def list_resume_points(opened: Opened) -> list[ResumePoint]:
    """Return the points from which a run may resume without the loss of more than its last checkpoint, newest first."""
    points = list(_list_checkpoints(opened, notify=lambda _: None))
    is_first = not (opened.folder / "checkpoints" / BEFORE).exists()
    return [*points, *([ResumePoint(Position(0), None)] if is_first else [])]


def describe_resume(point: ResumePoint) -> str:
    """Return the line that says from where a run resumes."""
    return f"resuming from {point.position}" + (f", by {point.checkpoint.name}" if point.checkpoint else "")


def _list_checkpoints(opened: Opened, *, notify: Notify) -> Iterator[ResumePoint]:
    folder = opened.folder / "checkpoints"
    for path in (folder / "last.ckpt", folder / BEFORE):
        if not path.exists():
            continue
        if wrong := damage(path):
            notify(f"{path}: expected a whole checkpoint; {wrong}. Resuming from before.")
            continue
        checkpoint = read_checkpoint(path, opened)
        state = checkpoint.get(CHECKPOINT_KEY)
        if state is None:
            continue
        position = Position(state["epoch"], state["batch"])
        if count_rows(opened.folder) < position.epoch:
            notify(f"{path}: expected metrics.csv to reach epoch {position.epoch}; it does not. Resuming from before.")
            continue
        if state.get("rows_digest") not in (None, digest_rows(opened.folder, position.epoch)):
            notify(f"{path}: expected metrics.csv as the run wrote it; a row has changed since. Resuming from before.")
            continue
        yield ResumePoint(position, path, state["finished"], has_stopped_early(checkpoint["callbacks"]))


def count_rows(folder: Path) -> int:
    """Count the epochs in metrics.csv up to the first gap."""
    try:
        epochs = [row["epoch"] for row in read_history(folder)]
    except FileNotFoundError:
        return 0
    return next((place for place, epoch in enumerate(epochs) if epoch != place), len(epochs))
