"""Compare runs on several ranks with the same run in one process."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from copycat.inspection.callbacks.profiler import Profiler
from copycat.models.losses import BCEWithLogits
from copycat.records.metrics_csv import read_history
from copycat.training.result import RunResult
from tests.support.runs import train_tiny

TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.timeout=20s")
ONE = ("trainer.accelerator=cpu", "trainer.threads=1")


def train_on(ranks: int, *words: str, data: Path, at: Path) -> RunResult:
    """Train a tiny run on one or two ranks, and check that it completed."""
    result = train_tiny(*(TWO if ranks == 2 else ONE), *words, data=data, at=at / f"ranks{ranks}")
    assert result.status == "completed", result.manifest["error"]
    return result


def rows_of(result: RunResult) -> list[dict[str, Any]]:
    """Return the epochs of a run, and its final metrics as a last one."""
    return [*map(dict, read_history(result.folder)), dict(result.manifest["results"]["final"])]


def largest_difference(result: RunResult, other: RunResult) -> float:
    """Return the largest relative difference of a metric in any epoch; the metrics must be the same."""
    pairs = list(zip(rows_of(result), rows_of(other), strict=True))
    assert all(row.keys() == same.keys() for row, same in pairs)
    return (
        max(
            abs(row[name] - same[name]) / max(abs(row[name]), abs(same[name]), 1e-300)
            for row, same in pairs
            for name in row
            if row[name] != same[name]
        )
        if any(row != same for row, same in pairs)
        else 0.0
    )


class ProfilerOfLastRank(Profiler):
    """Leave the hooks of the first rank out."""

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Start on the last rank alone."""
        if trainer.global_rank == trainer.world_size - 1:
            super().on_train_batch_start(trainer, *args)


class InterruptInside(pl.Callback):
    """Interrupt a run by a signal to its last rank, during the third step of the second epoch, of five steps."""

    def on_before_zero_grad(self, trainer: pl.Trainer, *_: Any) -> None:
        """Send SIGTERM to this process, as a scheduler of jobs would; the run ends before the next step."""
        if trainer.global_step == 6 and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


class WeighedByLabel(BCEWithLogits):
    """Divide by a sum that depends on the labels, as a user's own loss may."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean in which an image of class 1 counts twice."""
        weight = 1.0 + label
        cost = F.binary_cross_entropy_with_logits(logits[:, 0], label.to(logits), weight=weight, reduction="sum")
        return cost / weight.sum()

    def denominator(self, label: Tensor) -> Tensor:
        """Return the sum of the weights."""
        return (1.0 + label.double()).sum()


class InterruptAtEnd(pl.Callback):
    """Send SIGTERM to the last rank once training is over, before the final weights are evaluated."""

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Send it; not in a resumed run."""
        if trainer.global_rank == trainer.world_size - 1 and not trainer.ckpt_path:
            os.kill(os.getpid(), signal.SIGTERM)


class FailOnRank(pl.Callback):
    """Let one rank fail before a step: by an exception, by SIGKILL, or by SIGSTOP, after which it hangs.

    By `stop early`, the others have started a collective by then, which times out before those of the step: these fail
    as one of the same rank has.

    A resumed run does not fail again.
    """

    def __init__(self, how: str, *, rank: int, step: int = 7) -> None:
        """See the class."""
        self.how, self.rank, self.step = how, rank, step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Fail, where it is time."""
        if trainer.global_step != self.step or trainer.ckpt_path:  # of a resumed run
            return
        if trainer.global_rank != self.rank:
            if self.how == "stop early":
                dist.all_reduce(torch.zeros(1), async_op=True)
                time.sleep(0.5)
            return
        if self.how == "exception":
            raise ValueError("this rank is broken")
        os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGSTOP)
