"""Run trials in a worker process, as they arrive through its pipe."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from copycat.sweeps.launchers.trial import compose_and_run


def serve(pipe: Connection, path: list[str], settings: Mapping[str, Any]) -> None:
    """Run trials in a worker process until the pipe is closed."""
    os.setpgid(0, 0)  # Ctrl-C goes to the sweep alone, which closes the pipe
    multiprocessing.set_start_method(None, force=True)  # data loaders use the default method, as in a single run
    sys.path[:] = path
    if settings["device"] is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = settings["device"]
    import torch

    torch.set_num_threads(settings["threads"])
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    jobs = JobPipe(pipe)
    while (overrides := jobs.next()) is not None:
        try:
            pipe.send(compose_and_run(overrides))
        except BrokenPipeError:
            return


class JobPipe:
    """Read the pipe in a thread, so that a worker notices the end of the sweep while it trains."""

    def __init__(self, pipe: Connection) -> None:
        """Start to read."""
        self._pipe = pipe
        self._arrived: SimpleQueue[list[str] | None] = SimpleQueue()
        self._is_busy = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                overrides = self._pipe.recv()
            except (EOFError, OSError):
                overrides = None
            self._arrived.put(overrides)
            if overrides is None:
                if self._is_busy:  # the sweep ended or was killed: the trial saves a checkpoint, as on Ctrl-C
                    signal.raise_signal(signal.SIGTERM)
                return

    def next(self) -> list[str] | None:
        """Wait for the overrides of the next trial; None if the pipe is closed."""
        self._is_busy = False
        overrides = self._arrived.get()
        self._is_busy = True
        return overrides
