"""A profile of training steps: a trace for Perfetto, and a plain table."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.profiler import ProfilerActivity, profile
from torch.utils.tensorboard.summary import text

from copycat.config.atomic_write import write_whole
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.inspection.callbacks.inspector import tensorboard_loggers

MAX_ROWS = 25
"""Rows of the table, at most."""


class Profiler(pl.Callback):
    """Profile a window of single steps of the first rank into the folder's trace.json and table.txt.

    Args:
        folder: in the run folder.
        first: steps before the window, so that the profile leaves out warm-up.
        steps: in the window.
    """

    def __init__(self, folder: str, *, first: int = 10, steps: int = 20) -> None:
        """Set the folder and the window."""
        self.folder, self.first, self.steps = Path(folder), first, steps
        self._profile: Any = None
        self._seen = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start profiling at the window's first step."""
        if self._seen == self.first and trainer.is_global_zero:  # ranks share the folder
            device = trainer.strategy.root_device.type
            activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
            self._profile = profile(activities=activities, acc_events=True)
            self._profile.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the profile after the window's last step."""
        self._seen += 1
        if self._profile is not None and self._seen == self.first + self.steps:
            self._end(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the profile of a run that ends in the window; report one that ends before it."""
        if 0 < self._seen <= self.first:
            steps = pluralize(self._seen, "step")
            print_line(
                f"copycat: Profiler: no profile: training ended after {steps}; it skips {self.first}", error=True
            )
        self._end(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop profiling without writing."""
        if self._profile is not None:
            self._profile.__exit__(None, None, None)
            self._profile = None

    def _end(self, trainer: pl.Trainer) -> None:
        profiler, self._profile = self._profile, None
        if profiler is None:
            return
        profiler.__exit__(None, None, None)
        self.folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(self.folder / "trace.json"))
        table = profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=MAX_ROWS)
        write_whole(self.folder / "table.txt", table.encode())
        summary: Summary = text("run/profile", "\n".join(f"    {line}" for line in table.splitlines()))  # type: ignore[no-untyped-call]
        for logger in tensorboard_loggers(trainer.loggers):
            logger.write(summary, trainer.current_epoch)
