"""ClearML: a server, or sessions that are imported later."""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from copycat.config.dotted_keys import flatten
from copycat.inspection.trackers.tracker import Row, TrackedRun, Tracker


class ClearMLLogger(Tracker):
    """Send a run to ClearML, which keeps one run per process.

    Args:
        folder: the run folder.
        project: ClearML project.
        offline: write a session to ClearML's cache, which `Task.import_offline_session` uploads.
        run_name: name of the task; None: the run folder's, below `output_dir`.
        log_model: upload the final weights.
    """

    package = "clearml"
    name = "clearml"
    is_packable = False

    def __init__(
        self,
        folder: str,
        *,
        project: str = "copycat",
        offline: bool = False,
        run_name: str | None = None,
        log_model: bool = True,
    ) -> None:
        """Keep the settings."""
        super().__init__(folder, log_model=log_model)
        self._project, self._offline, self._run_name = project, offline, run_name
        self._task: Any = None

    @property
    def experiment(self) -> Any:
        """Return the ClearML task, for a user's callback."""
        return self._task

    def connect(self, run: TrackedRun) -> str:
        """Begin a task, or resume one; offline it is a new session each time."""
        from clearml import Task

        reporting: Any = Task
        # a process that it forks beside threads may hang, and the run at its end with it; no variable turns it off
        reporting._report_subprocess_enabled = False
        with _contained():
            Task.set_offline(self._offline)
            self._task = Task.init(
                self._project,
                self._run_name or run.name,
                tags=[] if run.sweep is None else [run.sweep],
                reuse_last_task_id=False,
                continue_last_task=False if self._offline else run.run_id or False,
                auto_connect_arg_parser=False,
                auto_connect_frameworks=False,
                auto_connect_streams=False,
                auto_resource_monitoring=False,
            )
            self._task.set_initial_iteration(0)  # a resumed task would add its last one to each
            self._task.set_parameters({name: str(value) for name, value in flatten(run.config).items()})
        return str(self._task.id)

    def count_sent(self, recorded: int) -> int:
        """Return the number of epochs that the task has; a new session is to hold the whole run."""
        return 0 if self._offline else recorded

    def send(self, rows: Sequence[Row]) -> None:
        """Report each metric at the iteration of its epoch."""
        logger = self._task.get_logger()
        for epoch, row in rows:
            for name, value in row.items():
                logger.report_scalar(name, name, float(value), epoch)

    def send_image(self, tag: str, content: bytes, step: int) -> None:
        """Report an image among the debug samples."""
        with Image.open(BytesIO(content)) as image:
            self._task.get_logger().report_image(tag, tag, step, image=np.asarray(image.convert("RGB")))

    def send_file(self, path: Path) -> None:
        """Upload a file as an artifact."""
        with _contained():
            self._task.upload_artifact(path.name, str(path), wait_on_upload=True)

    def finish(self, status: str, final: Mapping[str, float], *, step: int) -> None:
        """Report the final metrics as single values, and end the task."""
        for name, value in final.items():
            self._task.get_logger().report_single_value(name, float(value))
        with _contained():
            self._task.flush(wait_for_uploads=True)
            if status in ("completed", "pruned"):
                self._task.mark_completed(status_message=status)
            elif status == "interrupted":
                self._task.mark_stopped(status_message=status)
            else:
                self._task.mark_failed(status_message=status)
            self._task.close()


@contextmanager
def _contained() -> Iterator[None]:
    """Keep ClearML's messages off standard output, and its hooks off signals and exceptions: a signal saves the run."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    hook = sys.excepthook
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.excepthook = hook
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
