"""Let ranks meet in a store: values that any of them sets, and heartbeats, also where the store's host is gone."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import torch.distributed as dist

BEAT_SECONDS = 0.5
POLL_SECONDS = 0.02


class RankError(RuntimeError):
    """Report that another rank failed, or stopped responding."""


def finds_store(timeout: float) -> bool:
    """Wait until the store can be reached, in which ranks meet; torch would wait twice as long and log its stack."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(_address(), timeout=max(0.1, end - time.monotonic())):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _address() -> tuple[str, int]:
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])


def connect(limit: timedelta) -> Any:
    """Connect to the store in which the ranks have met."""
    store: Any = vars(dist)["TCPStore"]  # public, but not to mypy
    return store(*_address(), is_master=False, timeout=limit)


class LimitedStore:
    """Ask a store by a thread of its own: where the store's host is gone, torch waits for as long as TCP does."""

    def __init__(self, store: Any, timeout: float) -> None:
        """Start the thread; each call waits for `timeout` seconds at most."""
        self._store, self._timeout = store, timeout
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._is_lost = False
        threading.Thread(target=self._serve, name="store", daemon=True).start()

    def set(self, key: str, value: str) -> None:
        """Set a value."""
        self._ask(lambda: self._store.set(key, value))

    def get(self, key: str) -> Any:
        """Return a value, in bytes."""
        return self._ask(lambda: self._store.get(key))

    def check(self, keys: Sequence[str]) -> bool:
        """Return whether all keys are set."""
        return bool(self._ask(lambda: self._store.check(list(keys))))

    def delete(self, key: str) -> None:
        """Delete a value, if it is there."""
        self._ask(lambda: self._store.delete_key(key))

    def hurry(self, timeout: float) -> None:
        """Shorten the time limit, in a run that has failed already."""
        self._timeout = min(self._timeout, timeout)

    def close(self) -> None:
        """End the thread, unless it waits."""
        self._calls.put(sys.exit)

    def _serve(self) -> None:
        while True:
            self._calls.get()()

    def _ask(self, call: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()

        def work() -> None:
            try:
                answer.set_result(call())
            except Exception as error:
                answer.set_exception(error)

        if not self._is_lost:
            self._calls.put(work)
            with suppress(TimeoutError):
                return answer.result(self._timeout)
            self._is_lost = True
        raise RankError("rank 0 stopped responding, or its host cannot be reached")


def beat(store: Any, rank: int, stop: threading.Event) -> None:
    """Show the other ranks that this process runs."""
    count = 0
    with suppress(Exception):  # the store ends with its process
        while not stop.wait(BEAT_SECONDS):
            count += 1
            store.set(f"copycat/beat/{rank}", str(count))


class HeartbeatTimer:
    """Measure how long a rank has shown no heartbeat."""

    def __init__(self, store: Any, rank: int) -> None:
        """Start to measure now."""
        self._store, self._key = store, f"copycat/beat/{rank}"
        self._seen, self._since = b"", time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the latest heartbeat that this object saw."""
        latest = self._store.get(self._key) if self._store.check([self._key]) else b""
        if latest != self._seen:
            self._seen, self._since = latest, time.monotonic()
        return time.monotonic() - self._since
