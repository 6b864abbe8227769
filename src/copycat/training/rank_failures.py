"""Find out and describe which rank of a run failed."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch.distributed as dist

from copycat.config.suggestions import describe_error
from copycat.config.worlds import Place
from copycat.models.divergence import DivergedError
from copycat.training.rank_store import POLL_SECONDS, HeartbeatTimer, RankError

SILENT_SECONDS = 3.0
"""Seconds without a heartbeat after which a rank counts as dead or stopped."""
OF_COMMUNICATION = re.compile(
    r"gloo|nccl|Connection (closed|reset|refused)|Broken pipe|TCPStore|pair closure", re.IGNORECASE
)
"""What torch's errors say where another rank is gone; DDP and gloo raise no class of their own.

Of gloo's, the last alone does not name it: collectives raise it once another one of the same rank has timed out.
"""


class RankFailures:
    """Tell the other ranks why this one fails, and learn from the store which of them failed first."""

    def __init__(self, place: Place) -> None:
        """Know no store yet: `attach` gives it."""
        self._rank, self._size = place.rank, place.size
        self._store: Any = None
        self._silent = -1  # a rank that was found silent

    def attach(self, store: Any) -> None:
        """Use a store in which the ranks have met, and name this process there."""
        self._store = store
        store.set(f"copycat/process/{self._rank}", f"{socket.gethostname()} {os.getpid()}")

    def report(self, failure: BaseException) -> None:
        """Tell the other ranks why this one fails."""
        if self._size > 1 and not _is_of_another(failure):
            with suppress(Exception):  # the store may be gone with its process
                self._store.set(f"copycat/error/{self._rank}", describe_error(failure))

    def describe(self, failure: BaseException, own: Callable[[BaseException], str]) -> str:
        """Return why a run failed, with rank and host of the rank that failed first; `own` describes a failure."""
        if self._size == 1 or isinstance(failure, DivergedError):
            return own(failure)
        if isinstance(failure, RankError):
            return str(failure)
        if _is_of_another(failure):
            with suppress(Exception):
                self._store.hurry(2 * SILENT_SECONDS)
                if found := self._find_failed():
                    return found
        return f"{self.name(self._rank)}: {own(failure)}"

    def _find_failed(self) -> str:
        """Return which other rank reported an error, or is silent; empty where none is."""
        others = [rank for rank in range(self._size) if rank != self._rank]
        timers = {rank: HeartbeatTimer(self._store, rank) for rank in others}
        end = time.monotonic() + 2 * SILENT_SECONDS
        while time.monotonic() < end:
            for rank, timer in timers.items():
                if self._store.check([key := f"copycat/error/{rank}"]):
                    return f"{self.name(rank)}: {self._store.get(key).decode()}"
                if timer.seconds() > SILENT_SECONDS:
                    return self.note_silent(rank)
            time.sleep(POLL_SECONDS)
        return ""

    def note_silent(self, rank: int) -> str:
        """Remember that a rank is silent, and return a line that says so."""
        self._silent = rank
        return f"{self.name(rank)} died or stopped responding"

    def name(self, rank: int) -> str:
        """Return the number of a rank, and its host."""
        host = "an unknown host"
        with suppress(Exception):
            host, _ = self._find_process(rank)
        return f"rank {rank} on {host}"

    def _find_process(self, rank: int) -> tuple[str, int]:
        """Return host and process id of a rank."""
        host, _, number = self._store.get(f"copycat/process/{rank}").decode().rpartition(" ")
        return host, int(number)

    def kill_silent(self) -> None:
        """Kill a rank of this host that was found silent, if any: a stopped process takes no other signal."""
        if self._silent < 0:
            return
        with suppress(Exception):
            host, number = self._find_process(self._silent)
            if sys.platform != "win32" and host == socket.gethostname():
                os.kill(number, signal.SIGKILL)


def _is_of_another(failure: BaseException) -> bool:
    """Return whether a failure is one of communication: another rank caused it."""
    return isinstance(failure, RankError | dist.DistError) or (
        isinstance(failure, RuntimeError) and OF_COMMUNICATION.search(str(failure)) is not None
    )
