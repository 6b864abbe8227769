"""Know the ranks of a run, and let them communicate.

A rank is one process with one device. The ranks of a run take the same steps, each on its share of every batch. What
only one may do (lock, write, print, fingerprint) the first rank does.
"""

import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from math import prod
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from copycat.config.durations import parse_duration
from copycat.config.errors import JoinError, UserError
from copycat.config.suggestions import describe_error
from copycat.config.worlds import Place, choose_backend, find_place, world_size
from copycat.models.classifier import DivergedError
from copycat.models.prediction_buffer import as_bytes
from copycat.training.decisions import Decisions
from copycat.training.rank_store import (
    BEAT_SECONDS,
    POLL_SECONDS,
    LimitedStore,
    RankError,
    Silence,
    beat,
    connect,
    finds_store,
)

T = TypeVar("T")
SILENT_SECONDS = 3.0
"""Seconds without a heartbeat after which a rank counts as dead or stopped."""
KEPT_CALLS = 16
"""Number of the first rank's answers that the store keeps: a run has two an epoch."""
TIMEOUT = "60s"
"""Time limit of ranks whose configuration has none."""
OF_COMMUNICATION = re.compile(
    r"gloo|nccl|Connection (closed|reset|refused)|Broken pipe|TCPStore|pair closure", re.IGNORECASE
)
"""What torch's errors say where another rank is gone; DDP and gloo raise no class of their own.

Of gloo's, the last alone does not name it: collectives raise it once another one of the same rank has timed out.
"""


class Ranks:
    """Let the ranks of a run communicate; of one rank, which has no process group, each call returns at once."""

    def __init__(self, place: Place = Place(), *, backend: str = "", timeout: float = 60.0) -> None:  # noqa: B008
        """Join no group: `joined` does."""
        self.rank, self.size, self.local_size = place.rank, place.size, place.local_size
        self.backend, self.timeout = backend, timeout
        self.decisions = Decisions(self)
        self._calls = 0
        self._store: Any = None
        self._silent = -1  # a rank that was found silent

    @property
    def is_first(self) -> bool:
        """Return whether this is the rank that writes and prints."""
        return self.rank == 0

    # ----- between steps: by collectives, which all ranks must call within the time limit

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums over the ranks of values on the CPU."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def start_sum_step(self, values: Tensor) -> Callable[[], Tensor]:
        """Start to sum values over the ranks, float64 [n] on the CPU, and to agree on the decisions of the step.

        What it returns waits for the sums; it may be called once.
        """
        summed = torch.cat([values, torch.tensor(self.decisions.pending(), dtype=torch.float64)])
        work: Any = dist.all_reduce(summed, async_op=True)

        def wait() -> Tensor:
            work.wait()
            self.decisions.settle(summed[len(values) :].tolist())
            return summed[: len(values)]

        return wait

    def agree(self) -> None:
        """Agree on all decisions now."""
        if self.size > 1:
            self.start_sum_step(torch.empty(0, dtype=torch.float64))()

    def gather(self, values: Sequence[Tensor], lengths: Sequence[int]) -> list[list[Tensor]]:
        """Return the tensors of each rank on the first one; an empty list on the others.

        Args:
            values: on the CPU, each [n, …] of the same n.
            lengths: n of each rank.
        """
        content = torch.cat([as_bytes(each) for each in values])
        row_bytes = sum(each.itemsize * prod(each.shape[1:]) for each in values)
        padded = torch.zeros(max(lengths) * row_bytes, dtype=torch.uint8)
        padded[: len(content)] = content
        contents = [torch.empty_like(padded) for _ in range(self.size)] if self.is_first else None
        dist.gather(padded, contents)
        return [_read_rows(content, length, values) for content, length in zip(contents or [], lengths, strict=False)]

    def make_on_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes, within the time limit."""
        return make() if self.size == 1 else self.broadcast(make() if self.is_first else None)  # type: ignore[return-value]

    def broadcast(self, value: T) -> T:
        """Return the first rank's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    # ----- before and after training: by the store, where ranks wait as long as the others are alive

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first rank makes, JSON's values, however long it takes.

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
        """Raise a UserError on all ranks where one raises it inside; the others wait at the end."""
        if self.size == 1:
            yield
            return
        key = self._next_key()
        try:
            yield
        except UserError as error:
            self._store.set(f"{key}/{self.rank}", str(error) or "error")
            raise
        self._store.set(f"{key}/{self.rank}", "")
        for rank in range(self.size):
            if line := self._await(f"{key}/{rank}", rank=rank):
                raise UserError(line if rank == 0 else f"{line} That is {self._name(rank)}.")

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
        silence, pause = Silence(self._store, rank), POLL_SECONDS / 20
        while not self._store.check([key]):
            if silence.seconds() > self.timeout:
                raise RankError(f"{self._name(rank)} answers no more")
            if self._store.check([error := f"copycat/error/{rank}"]):
                raise RankError(f"{self._name(rank)}: {self._store.get(error).decode()}")
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

    # ----- failures

    def report(self, failure: Exception) -> None:
        """Tell the other ranks why this one fails."""
        if self.size > 1 and not _is_of_another(failure):
            with suppress(Exception):  # the store may be gone with its process
                self._store.set(f"copycat/error/{self.rank}", describe_error(failure))

    def describe(self, failure: Exception, own: Callable[[Exception], str]) -> str:
        """Return why a run failed, with rank and host of the rank that failed first; `own` describes a failure."""
        if self.size == 1 or isinstance(failure, DivergedError):
            return own(failure)
        if isinstance(failure, RankError):
            return str(failure)
        if _is_of_another(failure):
            with suppress(Exception):
                self._store.hurry(2 * SILENT_SECONDS)
                if found := self._find_failed():
                    return found
        return f"{self._name(self.rank)}: {own(failure)}"

    def _find_failed(self) -> str:
        """Return which other rank reported an error, or is silent; empty where none is."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        silences = {rank: Silence(self._store, rank) for rank in others}
        end = time.monotonic() + 2 * SILENT_SECONDS
        while time.monotonic() < end:
            for rank, silence in silences.items():
                if self._store.check([key := f"copycat/error/{rank}"]):
                    return f"{self._name(rank)}: {self._store.get(key).decode()}"
                if silence.seconds() > SILENT_SECONDS:
                    self._silent = rank
                    return f"{self._name(rank)} died, or answers no more"
            time.sleep(POLL_SECONDS)
        return ""

    def _name(self, rank: int) -> str:
        host = "an unknown host"
        with suppress(Exception):
            host, _ = self._find_process(rank)
        return f"rank {rank} on {host}"

    def _find_process(self, rank: int) -> tuple[str, int]:
        """Return host and process id of a rank."""
        host, _, number = self._store.get(f"copycat/process/{rank}").decode().rpartition(" ")
        return host, int(number)

    def _kill_silent(self) -> None:
        """Kill a rank of this host that was found silent: a stopped process takes no other signal."""
        with suppress(Exception):
            host, number = self._find_process(self._silent)
            if sys.platform != "win32" and host == socket.gethostname():
                os.kill(number, signal.SIGKILL)

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
            UserError: where not all ranks join within the time limit; JoinError where the first is not there.
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
            raise UserError(self._describe_wait()) from error
        self._store, beats = LimitedStore(connect(limit), self.timeout), connect(limit)
        self._store.set(f"copycat/process/{self.rank}", f"{socket.gethostname()} {os.getpid()}")
        stop = threading.Event()
        thread = threading.Thread(target=beat, args=(beats, self.rank, stop), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
            self._leave()
        except Exception as failure:
            self.report(failure)
            raise
        finally:
            if self._silent >= 0:
                self._kill_silent()
            stop.set()
            thread.join(2 * BEAT_SECONDS)  # it may wait for a host that is gone
            self._store.close()
            with suppress(Exception):
                dist.destroy_process_group()


def _read_rows(content: Tensor, length: int, like: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors [length, …] from their bytes, one after another; `like` has their dtypes and shapes."""
    found, start = [], 0
    for each in like:
        stop = start + length * each.itemsize * prod(each.shape[1:])
        aligned = content[start:stop].clone()  # a view starts where the dtype's values may not
        found.append(aligned.view(each.dtype).reshape(length, *each.shape[1:]))
        start = stop
    return found


def _is_of_another(failure: BaseException) -> bool:
    """Return whether a failure is one of communication: another rank caused it."""
    return isinstance(failure, RankError | dist.DistError) or (
        isinstance(failure, RuntimeError) and OF_COMMUNICATION.search(str(failure)) is not None
    )


ONE_RANK = Ranks()


def make_ranks(trainer: Mapping[str, Any]) -> Ranks:
    """Return the ranks that the trainer's node asks for, of which this process is one."""
    if world_size(trainer) == 1:
        return Ranks()
    backend = choose_backend(trainer, has_cuda=torch.cuda.is_available())
    return Ranks(find_place() or Place(), backend=backend, timeout=parse_duration(trainer.get("timeout", TIMEOUT)))
