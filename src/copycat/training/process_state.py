"""A run leaves the process as it found it: trial 7 of a sweep gives the bits that it gives alone."""

import logging
import os
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

LOG = "train.log"
LIGHTNING = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")


@contextmanager
def isolated(*, threads: int | None) -> Iterator[None]:
    """Give back threads, random states, determinism, default dtype and environment at the end.

    Args:
        threads: of the CPU, inside; None leaves as many as there are.
    """
    environment, before = dict(os.environ), torch.get_num_threads()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    dtype, benchmark = torch.get_default_dtype(), torch.backends.cudnn.benchmark
    try:
        if threads:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.set_default_dtype(dtype)
        torch.backends.cudnn.benchmark = benchmark
        os.environ.clear()
        os.environ.update(environment)


class _Quiet(logging.FileHandler):
    """A log that can't be written, on a full disk say, is no reason to print a traceback for every line.

    Once closed it stays so: a thread that was about to log would open the file anew, and leave it open.
    """

    ended = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.ended:
            super().emit(record)

    def close(self) -> None:
        self.ended = True
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, its name in the library
        pass


def _log(failure: threading.ExceptHookArgs) -> None:
    """A thread's failure is the log's: TensorBoard's writers raise it once more where they are called from."""
    if failure.exc_value is not None:
        logging.getLogger(__name__).error("in a thread", exc_info=failure.exc_value)


def end_log(file: Path) -> None:
    """Write nothing more to the log of a run that ended, though other runs of its pack go on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Quiet) and handler.baseFilename == os.path.abspath(file):
            handler.close()


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Write what is logged or warned to a file, and not among a command's results."""
    handler = _Quiet(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, theirs = logging.getLogger(), [logging.getLogger(name) for name in LIGHTNING]
    level, before = root.level, [(logger, list(logger.handlers), logger.propagate) for logger in (root, *theirs)]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for logger in theirs:
        logger.handlers, logger.propagate = [], True
    logging.captureWarnings(True)
    hook, threading.excepthook = threading.excepthook, _log
    try:
        with warnings.catch_warnings():
            # a part may lack a class, in a small fold say: AUROC is 0 then, and torchmetrics says so each epoch
            warnings.filterwarnings("ignore", "No (positive|negative) samples in targets")
            yield
    finally:
        threading.excepthook = hook
        logging.captureWarnings(False)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        root.setLevel(level)
        handler.close()
