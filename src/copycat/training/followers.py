"""Take part in a run whose records another rank writes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from copycat.config.printable import Notify
from copycat.models.metrics import Row
from copycat.records.background_writer import BackgroundWriter
from copycat.training.components import RunComponents
from copycat.training.lightning_internals import Position
from copycat.training.process_state import end_log
from copycat.training.recorder import RunRecorder
from copycat.training.result import RunResult


class FollowerRecorder(RunRecorder):
    """Stand in for the recorder on all ranks but the first: build the same callbacks, and write nothing."""

    def __init__(
        self, folder: Path, *, config: Mapping[str, Any], components: RunComponents, manifest: dict[str, Any], **_: Any
    ) -> None:
        """Build callbacks without those that draw, and no logger."""
        without_loggers = {**config, "logger": None}
        super().__init__(folder, config=without_loggers, components=components, manifest=manifest, quiet=True)
        self.loggers, self.config = [], config

    def _make_writer(self) -> BackgroundWriter:
        return SilentWriter()

    def open(
        self,
        write: Callable[[Path], object] | None,
        *,
        resumes_at: int | None = None,
        notify: Notify = print,
    ) -> None:
        """Write nothing."""

    def begin(self, epoch: int) -> None:
        """Log nothing."""

    def log(self, first: int, rows: Sequence[Row]) -> None:
        """Log nothing."""

    def record_early_end(self, key: str, position: Position) -> None:
        """Record nothing."""

    def record_final_metrics(self, final: Row, probabilities: Mapping[str, Tensor]) -> None:
        """Record nothing."""

    def complete(self, epochs: int) -> None:
        """Write nothing."""

    def end(self, status: str, error: str | None, *, epochs: int, steps: int) -> RunResult:
        """Return the status, without a manifest."""
        end_log(self.log_path)
        return RunResult(self.folder, status, {"status": status, "error": error, "results": {}})


class SilentWriter(BackgroundWriter):
    """Write nothing."""

    def submit(self, job: Callable[[], object]) -> None:
        """Do nothing."""
