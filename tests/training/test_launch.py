"""Ranks start together."""

import os
import time

import psutil
import pytest

from copycat.config.errors import UserError
from copycat.training.launch import launch


def test_no_rank_starts_before_all_are_forked() -> None:
    """A fork beside the first connection to the agent can copy a lock that a thread of the agent holds."""
    pauses, before = [0.05], len(psutil.Process().children())
    os.register_at_fork(after_in_parent=lambda: time.sleep(pauses[0]))

    def count_ranks() -> None:
        raise UserError(f"{len(psutil.Process(os.getppid()).children()) - before} ranks")

    try:
        with pytest.raises(UserError, match=r"^2 ranks"):
            launch(count_ranks, {"strategy": "ddp", "devices": 2, "accelerator": "cpu", "threads": 1})  # type: ignore[arg-type]
    finally:
        pauses[0] = 0.0
