"""Run trials in a worker process, as they arrive through its pipe."""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

from copycat.sweeps.launchers.trial import compose_and_run
from copycat.training.signals import ending_signals

TERMINAL_SIGNALS = ("SIGINT", "SIGQUIT", "SIGHUP")
"""Signals that a terminal sends to all processes of its foreground group."""


def terminal_signals() -> list[signal.Signals]:
    """Return the signals of a terminal that end runs on this system."""
    return [number for number in ending_signals() if number.name in TERMINAL_SIGNALS]


def serve(pipe: Connection, path: list[str], threads: int, device: str | None) -> None:
    """Run trials in a worker process until the pipe is closed; `device` is its GPU."""
    if sys.platform != "win32":
        os.setpgid(0, 0)  # Ctrl-C goes to the sweep alone, which closes the pipe
        numbers = terminal_signals()
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # blocked since this process started
    multiprocessing.set_start_method(None, force=True)  # data loaders use the default method, as in a single run
    sys.path[:] = path
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    import torch

    torch.set_num_threads(threads)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    arrived: SimpleQueue[list[str] | None] = SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(pipe, arrived, busy), daemon=True).start()
    while (overrides := arrived.get()) is not None:
        busy.set()
        try:
            pipe.send(compose_and_run(overrides))
        except BrokenPipeError:
            return
        busy.clear()


def _listen(pipe: Connection, arrived: "SimpleQueue[list[str] | None]", busy: threading.Event) -> None:
    """Read the pipe in a thread, so that a worker notices the end of the sweep while it trains."""
    with suppress(EOFError, OSError):
        while True:
            arrived.put(pipe.recv())
    arrived.put(None)
    if busy.is_set():  # the sweep ended or was killed: the trial saves a checkpoint, as on Ctrl-C
        signal.raise_signal(signal.SIGTERM)
