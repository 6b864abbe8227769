"""Where the time of a step goes: a trace to open in Perfetto, and a plain table."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.profiler import ProfilerActivity, profile
from torch.utils.tensorboard.summary import text

from copycat.inspection.callbacks.inspector import boards
from copycat.records.run_folder import write_whole

ROWS = 25
"""Of the table."""


class Profiler(pl.Callback):
    """Records a window of steps, taken one by one, into the folder's trace.json and table.txt.

    Args:
        folder: in the run folder.
        first: steps before the window, so that it shows none that warms up.
        steps: in the window.
    """

    def __init__(self, folder: str, *, first: int = 10, steps: int = 20) -> None:
        self.folder, self.first, self.steps = Path(folder), first, steps
        self._profile: Any = None
        self._seen = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._seen == self.first:
            device = trainer.strategy.root_device.type
            activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
            self._profile = profile(activities=activities)
            self._profile.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._seen += 1
        if self._profile is not None and self._seen == self.first + self.steps:
            self._end(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end(trainer)  # of a run that is shorter than the window

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._profile is not None:
            self._profile.__exit__(None, None, None)
            self._profile = None

    def _end(self, trainer: pl.Trainer) -> None:
        found, self._profile = self._profile, None
        if found is None:
            return
        found.__exit__(None, None, None)
        self.folder.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(self.folder / "trace.json"))
        table = found.key_averages().table(sort_by="self_cpu_time_total", row_limit=ROWS)
        write_whole(self.folder / "table.txt", table.encode())
        summary: Summary = text("run/profile", "\n".join(f"    {line}" for line in table.splitlines()))  # type: ignore[no-untyped-call]
        for board in boards(trainer.loggers):
            board.write(summary, trainer.current_epoch)
