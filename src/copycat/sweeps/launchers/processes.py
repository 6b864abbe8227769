"""Run trials in worker processes on one machine; each takes the next trial as soon as it is free."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Self

from omegaconf import DictConfig

from copycat.config.cores import available_cores
from copycat.sweeps.engine import Runner
from copycat.sweeps.job import Job
from copycat.sweeps.launchers.trial import INTERRUPTED, get_hydra_overrides
from copycat.sweeps.launchers.worker import serve, terminal_signals

SHUTDOWN_SECONDS = 8.0
"""Seconds that workers have to save their trials after a signal ended the sweep."""
START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
"""A fork server imports torch once and then forks workers quickly; the system's libraries of macOS break in forks."""


@dataclass
class Worker:
    """Hold a worker process, its pipe, its GPU, and the trial that it runs."""

    process: BaseProcess
    pipe: "Connection[Any, Any]"
    device: str | None
    job: Job | None = None


class WorkerPool:
    """Run trials in worker processes; close it to end them.

    Args:
        config: of the sweep, with Hydra's node.
        workers: number of processes; None for one per core, or one per GPU if the trials use GPUs.
        threads: CPU threads per worker; None for an equal share of the cores.
    """

    def __init__(self, config: DictConfig, *, workers: int | None, threads: int | None) -> None:
        """Start the server that forks workers, where there is one; they start with their first trials."""
        self.hydra_overrides = get_hydra_overrides(config)
        cores, self.devices = available_cores(), _list_devices(str(config.trainer.accelerator))
        self.count = workers or len(self.devices) or cores
        self.threads = threads or max(1, cores // self.count)
        self._context: Any = multiprocessing.get_context(START_METHOD)
        if START_METHOD == "forkserver":
            from multiprocessing.forkserver import ensure_running

            self._context.set_forkserver_preload([serve.__module__])
            with starting_children():
                ensure_running()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let workers save what they train, and kill those that take longer than `SHUTDOWN_SECONDS` seconds."""
        for worker in self._workers:
            worker.pipe.close()  # which tells the worker to end
        for worker in self._workers:
            worker.process.join(SHUTDOWN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def run(self, runner: Runner, *, new: bool = True) -> None:
        """Run trials until none is left; without `new`, only those that were put back.

        Raises:
            KeyboardInterrupt: if a signal ended the sweep, or a worker's trial.
        """
        while True:
            while sum(worker.job is not None for worker in self._workers) < self.count:
                if (job := runner.next(new=new)) is None:
                    break
                self._dispatch(job)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe in ready:
                    self._collect(worker, runner)

    def _dispatch(self, job: Job) -> None:
        """Send a trial to a free worker, or to a new one."""
        worker = next((worker for worker in self._workers if worker.job is None), None) or self._start_worker()
        worker.job = job
        with suppress(BrokenPipeError):  # the worker died while idle, which `wait` reports
            worker.pipe.send([*self.hydra_overrides, *job.launch_overrides])

    def _collect(self, worker: Worker, runner: Runner) -> None:
        job, worker.job = worker.job, None
        assert job is not None
        try:
            problem = worker.pipe.recv()
        except (EOFError, ConnectionResetError):  # killed, or out of memory: another worker runs its trial
            worker.process.join()
            self._workers.remove(worker)
            worker.pipe.close()
            problem = _describe_exit(worker.process.exitcode)
        if problem == INTERRUPTED:
            raise KeyboardInterrupt
        runner.mark_done(job, problem)

    def _start_worker(self) -> Worker:
        ours, theirs = self._context.Pipe()
        used_devices = [worker.device for worker in self._workers]
        device = min(self.devices, key=used_devices.count, default=None)
        arguments = theirs, list(sys.path), self.threads, device
        process = self._context.Process(target=serve, args=arguments, daemon=False)
        worker = Worker(process, ours, device)
        with starting_children():
            process.start()
            theirs.close()
            self._workers.append(worker)
        return worker


@contextmanager
def starting_children() -> Iterator[None]:
    """Start processes that a terminal's signals do not reach, and that do not import the caller's main module.

    Such a signal would end a fork server, or print a traceback from a worker's imports. Here it is handled at the end;
    children start with it blocked, until `serve` ignores it. A script without a guard would run again in each worker.
    """
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    if sys.platform == "win32":  # where children inherit this alone; it covers Ctrl-C, not Ctrl-Break
        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)
    else:
        resource_tracker.ensure_running()  # which unblocks Ctrl-C as it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, terminal_signals())
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if sys.platform == "win32":
            ctypes.windll.kernel32.SetConsoleCtrlHandler(None, False)
        else:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _list_devices(accelerator: str) -> list[str]:
    """Return the names of GPUs to distribute; empty if trials run on the CPU."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    import torch

    return [str(place) for place in range(torch.cuda.device_count())]


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (": out of memory?" if name == "SIGKILL" else "")
    return f"its process ended with status {code}"
