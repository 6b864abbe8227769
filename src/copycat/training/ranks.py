"""Know the ranks of a run, and let them communicate.

A rank is one process with one device. The ranks of a run take the same steps, each on its share of every batch. What
only one may do (lock, write, print, fingerprint) the first rank does.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from copycat.config.durations import parse_duration
from copycat.config.errors import JoinError, LateRankError, UserError
from copycat.config.worlds import Place, choose_backend, find_place, world_size
from copycat.training.collectives import Collectives
from copycat.training.rank_failures import SILENT_SECONDS, RankFailures
from copycat.training.rank_store import (
    BEAT_SECONDS,
    POLL_SECONDS,
    HeartbeatTimer,
    LimitedStore,
    RankError,
    beat,
    connect,
    finds_store,
)

T = TypeVar("T")
KEPT_CALLS = 16
"""Number of the first rank's answers that the store keeps: a run has two an epoch."""
TIMEOUT = "60s"
"""Time limit of ranks whose configuration has none."""


class Ranks(Collectives):
    """Let the ranks of a run communicate; of one rank, which has no process group, each call returns at once."""

    def __init__(self, place: Place = Place(), *, backend: str = "", timeout: float = 60.0) -> None:  # noqa: B008
        """Join no group: `joined` does."""
        super().__init__(place)
        self.backend, self.timeout = backend, timeout
        self.failures = RankFailures(place)
        self._calls = 0
        self._store: Any = None

    # ----- before and after training: by the store, where ranks wait as long as the others are alive

    def from_first(self, make: Callable[[], T]) -> T:
        """Return the first rank's object, of JSON's types, however long it takes.

        Raises:
            UserError: on all ranks, where it raises one on the first.
            RankError: where the first rank died.
        """
        if self.size == 1:
            return make()
        key = self._next_key()
        if not self.is_first:
            answer = json.loads(self._await(key, rank=0))
            if "error" in answer:
                raise UserError(answer["error"])
            value: T = answer["value"]
            return value
        try:
            value = make()
        except UserError as error:
            self._store.set(key, json.dumps({"error": str(error)}))
            raise
        self._store.set(key, json.dumps({"value": value}))
        if self._calls > KEPT_CALLS:  # others are a few calls behind, at most: steps keep them together
            self._store.delete(f"copycat/call/{self._calls - KEPT_CALLS}")
        return value

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise a UserError on all ranks where one raises it, or an OSError, inside; the others wait at the end."""
        if self.size == 1:
            yield
            return
        key = self._next_key()
        try:
            yield
        except (UserError, OSError) as error:
            self._store.set(f"{key}/{self.rank}", str(error) or "error")
            raise
        self._store.set(f"{key}/{self.rank}", "")
        for rank in range(self.size):
            if line := self._await(f"{key}/{rank}", rank=rank):
                raise UserError(line if rank == 0 else f"{line} That is {self.failures.name(rank)}.")

    def check_equal(self, value: str, *, key: str, what: str) -> None:
        """Raise a UserError on all ranks where the value of one differs from the first rank's."""
        with self.together():
            if value != self.from_first(lambda: value):
                host = socket.gethostname()
                raise UserError(f"{key}: expected the same {what} on all hosts; rank {self.rank} on {host} has others.")

    def _next_key(self) -> str:
        self._calls += 1
        return f"copycat/call/{self._calls}"

    def _await(self, key: str, *, rank: int) -> str:
        timer, pause = HeartbeatTimer(self._store, rank), POLL_SECONDS / 20
        while not self._store.check([key]):
            if timer.seconds() > self.timeout:
                raise RankError(self.failures.note_silent(rank))
            if self._store.check([error := f"copycat/error/{rank}"]):
                raise RankError(f"{self.failures.name(rank)}: {self._store.get(error).decode()}")
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)
        text: str = self._store.get(key).decode()
        return text

    def _leave(self) -> None:
        """Let the first rank, which may hold the store, leave last."""
        with suppress(RankError, RuntimeError):  # a failed run ends by itself
            if not self.is_first:
                self._store.set(f"copycat/left/{self.rank}", "")
                return
            end = time.monotonic() + SILENT_SECONDS
            keys = [f"copycat/left/{rank}" for rank in range(1, self.size)]
            while not self._store.check(keys) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)

    # ----- the group

    def _describe_wait(self) -> str:
        return (
            f"trainer.timeout: expected {self.size} ranks to join within {self.timeout:g} s; rank {self.rank} on"
            f" {socket.gethostname()} waited in vain. Check the addresses, or type trainer.timeout=SECONDS."
        )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Hold the process group that connects the ranks.

        Raises:
            LateRankError: where not all ranks join within the time limit; JoinError where the first is not there.
        """
        if self.size == 1:
            yield
            return
        limit = timedelta(seconds=self.timeout)
        if not self.is_first and not finds_store(self.timeout):
            raise JoinError(self._describe_wait())
        try:
            dist.init_process_group(self.backend, rank=self.rank, world_size=self.size, timeout=limit)
        except (RuntimeError, ValueError) as error:
            raise LateRankError(self._describe_wait()) from error
        self._store, beats = LimitedStore(connect(limit), self.timeout), connect(limit)
        self.failures.attach(self._store)
        stop = threading.Event()
        thread = threading.Thread(target=beat, args=(beats, self.rank, stop), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
            self._leave()
        except Exception as failure:
            self.failures.report(failure)
            raise
        finally:
            self.failures.kill_silent()
            stop.set()
            thread.join(2 * BEAT_SECONDS)  # it may wait for a host that is gone
            self._store.close()
            with suppress(Exception):
                dist.destroy_process_group()


ONE_RANK = Ranks()


def make_ranks(trainer: Mapping[str, Any]) -> Ranks:
    """Return the ranks that the trainer's node asks for, of which this process is one."""
    if world_size(trainer) == 1:
        return Ranks()
    backend = choose_backend(trainer, has_cuda=torch.cuda.is_available())
    return Ranks(find_place() or Place(), backend=backend, timeout=parse_duration(trainer.get("timeout", TIMEOUT)))
