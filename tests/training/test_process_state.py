"""A run leaves the process as it found it."""

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from copycat.training.process_state import isolated, logged
from tests.support.commands import run_copycat
from tests.support.run_folders import assert_same_bits
from tests.support.runs import train_tiny


def _state() -> list[object]:
    return [
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        dict(os.environ),
        [
            (logger.handlers[:], logger.propagate, logger.level)
            for logger in map(logging.getLogger, ("", "pytorch_lightning"))
        ],
        warnings.filters[:],
        warnings.showwarning,
    ]


def test_a_run_leaves_no_trace_in_the_process(tiny: Path, tmp_path: Path) -> None:
    train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path)  # what is imported late is imported now
    before = _state()
    train_tiny("trainer.max_epochs=2", "trainer.threads=1", "seed=7", data=tiny, at=tmp_path)
    assert _state() == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal")
def test_a_crash_after_a_run_shows_its_traceback(tiny: Path, tmp_path: Path) -> None:
    words = ("data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1", "logger=none")
    crashes = "import atexit, faulthandler; faulthandler.enable(); atexit.register(faulthandler._sigsegv)"
    done = run_copycat("train", *words, at=tmp_path, program=crashes)
    assert done.returncode == -signal.SIGSEGV
    assert "completed after 1 epoch" in done.stdout
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_the_state_is_restored_after_any_change() -> None:
    before = _state()
    try:
        with isolated(threads=1):
            torch.set_default_dtype(torch.float64)
            torch.manual_seed(1)
            os.environ["COPYCAT_X"] = "1"
            raise RuntimeError
    except RuntimeError:
        pass
    assert _state() == before


@contextmanager
def _double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "mode",
    [
        partial(torch.autocast, "cpu", dtype=torch.bfloat16),
        torch.inference_mode,
        partial(torch.device, "meta"),
        _double_by_default,
    ],
)
def test_a_run_has_the_same_bits_inside_a_mode_of_torch(
    mode: Callable[[], AbstractContextManager[object]], tiny: Path, tmp_path: Path
) -> None:
    words = ("model=cnn", "model.channels=[2]", "trainer.max_epochs=2", "callbacks=none", "logger=none")
    alone = train_tiny(*words, data=tiny, at=tmp_path / "alone")
    with mode():
        inside = train_tiny(*words, data=tiny, at=tmp_path / "inside")
    assert_same_bits(alone.folder, inside.folder)


def test_warnings_and_logs_go_to_the_file(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with logged(tmp_path / "train.log"):
            warnings.warn("mind this", stacklevel=1)
            logging.getLogger("pytorch_lightning").info("and that")
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
    text = (tmp_path / "train.log").read_text()
    assert "mind this" in text
    assert "and that" in text
    assert "ZeroDivisionError" in text


def test_a_thread_that_logs_too_late_does_not_open_the_file_anew(tmp_path: Path) -> None:
    with logged(tmp_path / "train.log"):
        handler = logging.getLogger().handlers[-1]
    (tmp_path / "train.log").unlink()
    handler.handle(logging.makeLogRecord({"msg": "late"}))
    assert not (tmp_path / "train.log").exists()


def test_the_log_of_a_run_recommends_no_other_package(tiny: Path, tmp_path: Path) -> None:
    text = (train_tiny("trainer.max_epochs=1", data=tiny, at=tmp_path).folder / "train.log").read_text()
    assert "max_epochs=1" in text
    assert "Tip" not in text
    assert "pypi.org" not in text
