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


def serve(pipe: Connection, path: list[str], threads: int, device: str | None) -> None:
    """Run trials in a worker process until the pipe is closed; `device` is its GPU."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C goes to the sweep alone, which closes the pipe
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
