"""Restore the state of the process after a run, so that a trial of a sweep gives the same bits as alone."""

import logging
import os
import random
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

LOG = "train.log"
LIGHTNING = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")


@contextmanager
def isolated(*, threads: int | None) -> Iterator[None]:
    """Set the number of threads unless it is None; in the end restore it and all other settings of the process.

    These are random states, determinism, the default dtype and environment variables. A program's own defaults of torch
    do not hold inside.
    """
    environment, before = dict(os.environ), torch.get_num_threads()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    deterministic = torch.get_deterministic_debug_mode()
    dtype, benchmark = torch.get_default_dtype(), torch.backends.cudnn.benchmark
    try:
        if threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        with _without_ambient_modes():
            yield
    finally:
        torch.set_num_threads(before)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_deterministic_debug_mode(deterministic)
        torch.set_default_dtype(dtype)
        torch.backends.cudnn.benchmark = benchmark
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


@contextmanager
def _without_ambient_modes() -> Iterator[None]:
    """Leave the modes of torch that surround a call: they would change its bits, and no run records them."""
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        for kind in filter(torch.is_autocast_enabled, ("cpu", "cuda", "mps")):
            modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield


def set_deterministic(settings: Mapping[str, Any]) -> None:
    """Set determinism as Lightning's Trainer does, without loading torch's compiler for it.

    Args:
        settings: of the trainer; `deterministic` is true, false, "warn" or null.
    """
    mode = settings.get("deterministic")
    if mode is not None:
        torch.set_deterministic_debug_mode({False: "default", "warn": "warn", True: "error"}[mode])
    if mode:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # CUDA's matrix products differ without it
        if settings.get("benchmark") is None:
            torch.backends.cudnn.benchmark = False


ADVERTISEMENT = "💡 Tip:"  # how Lightning's messages begin that recommend other packages


class _Quiet(logging.FileHandler):
    """Ignore errors in writing the log, such as of a full disk, instead of printing a traceback per line.

    Once closed it stays closed: a thread that logs later would open the file again, and leave it open.
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
    """Log a thread's exception; TensorBoard's writers raise theirs again in the calling thread."""
    if failure.exc_value is not None:
        logging.getLogger(__name__).error("in a thread", exc_info=failure.exc_value)


def end_log(file: Path) -> None:
    """Close the log of a run that ended, though other runs of its pack continue."""
    path = os.path.abspath(file)  # once: a pack has as many handlers as trials
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Quiet) and handler.baseFilename == path:
            handler.close()


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Write log records and warnings to a file, and keep them off the terminal."""
    handler = _Quiet(file, encoding="utf-8")
    handler.addFilter(lambda record: not record.getMessage().startswith(ADVERTISEMENT))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, lightning_loggers = logging.getLogger(), [logging.getLogger(name) for name in LIGHTNING]
    level = root.level
    before = [(logger, list(logger.handlers), logger.propagate) for logger in (root, *lightning_loggers)]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for logger in lightning_loggers:
        logger.handlers, logger.propagate = [], True
    logging.captureWarnings(True)
    hook, threading.excepthook = threading.excepthook, _log
    try:
        with warnings.catch_warnings():
            # a part may lack a class, such as in a small fold; torchmetrics would warn each epoch
            warnings.filterwarnings("ignore", "No (positive|negative) samples in targets")
            # a gradient scaler skips a first step whose gradients overflow, which torch takes for a wrong order
            warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)` before")
            yield
    finally:
        threading.excepthook = hook
        logging.captureWarnings(False)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        root.setLevel(level)
        handler.close()
