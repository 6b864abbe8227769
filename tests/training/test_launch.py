"""Ranks start together, and none is waited for without a limit."""

import os
import re
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from copycat.config.atomic_write import write_whole
from copycat.config.errors import LateRankError, UserError
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.training.launch import FOLDER_VARIABLE, launch
from copycat.training.ranks import make_ranks
from tests.support.runs import QUIET, train_tiny

TWO = {"strategy": "ddp", "devices": 2, "accelerator": "cpu", "threads": 1}


def test_no_rank_starts_before_all_are_forked() -> None:
    """A fork beside the first connection to the agent can copy a lock that a thread of the agent holds."""
    pauses, before = [0.05], len(psutil.Process().children())
    os.register_at_fork(after_in_parent=lambda: time.sleep(pauses[0]))

    def count_ranks() -> None:
        raise UserError(f"{len(psutil.Process(os.getppid()).children()) - before} ranks")

    try:
        with pytest.raises(UserError, match=r"^2 ranks"):
            launch(count_ranks, TWO)  # type: ignore[arg-type]
    finally:
        pauses[0] = 0.0


@pytest.mark.parametrize("late", ["0", "1"])
def test_a_rank_that_hangs_before_it_joins_is_ended_with_those_that_waited(late: str) -> None:
    def join() -> None:
        if os.environ["RANK"] == late:
            time.sleep(60)
        raise LateRankError("trainer.timeout: expected 2 ranks to join")

    began = time.monotonic()
    with pytest.raises(UserError, match=r"^trainer\.timeout: expected 2 ranks to join$"):
        launch(join, TWO)  # type: ignore[arg-type]
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("hung", [0, 1])
def test_a_rank_that_hangs_before_the_run_has_a_folder_is_named(hung: int) -> None:
    def begin() -> None:
        ranks = make_ranks({**TWO, "timeout": 1.0})
        with ranks.joined(), ranks.together():
            if ranks.rank == hung:
                os.kill(os.getpid(), signal.SIGSTOP)

    host = re.escape(socket.gethostname())
    with pytest.raises(UserError, match=f"expected 2 ranks to start; rank {hung} on {host} died or stopped responding"):
        launch(begin, TWO)  # type: ignore[arg-type]


@pytest.mark.parametrize("to_agent", [True, False])
def test_a_signal_before_the_run_has_a_folder_interrupts_it(to_agent: bool) -> None:
    def be_ended() -> None:
        if os.environ["RANK"] == "0":
            os.kill(os.getppid() if to_agent else os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        launch(be_ended, TWO)  # type: ignore[arg-type]


def test_a_signal_before_a_run_is_resumed_interrupts_it(tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny("trainer.max_epochs=1", *QUIET, data=tiny, at=tmp_path).folder
    write_manifest(folder, read_manifest(folder) | {"status": "running", "ended": None, "seconds": None})  # killed

    def be_ended() -> None:
        write_whole(Path(os.environ[FOLDER_VARIABLE]), str(folder).encode())  # by both ranks
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)

    result = launch(be_ended, TWO)  # type: ignore[arg-type]
    assert (result.status, result.manifest["error"]) == ("interrupted", "SIGINT")
