"""The signals of a run: a step that takes long is aborted, a run that ends in time is left alone; those of Windows."""

import os
import signal
import time

import pytest

from copycat.training import signals
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.signals import InterruptedRun, SignalHandler


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)


@pytest.fixture
def handler() -> SignalHandler:
    """A handler of signals in a run that can save."""
    handler = SignalHandler()
    handler.last = LastCheckpoint.__new__(LastCheckpoint)
    return handler


def test_a_step_that_takes_long_is_aborted(handler: SignalHandler) -> None:
    started = time.monotonic()
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptedRun, match="SIGTERM"):
            time.sleep(60)  # a step that takes long
    assert time.monotonic() - started < 30


def test_last_records_that_take_long_are_written(handler: SignalHandler) -> None:
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        handler.deferred = True
        time.sleep(0.2)
    assert handler.received == "SIGTERM"


def test_a_run_that_ends_in_time_is_left_alone(handler: SignalHandler) -> None:
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert handler.received == "SIGTERM"
        handler.deferred = True  # as at the end of each run
    time.sleep(0.1)  # the alarm would interrupt here


def test_signals_that_the_system_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        monkeypatch.delattr(signal, name)
    assert [number.name for number in signals.ending_signals()] == ["SIGINT", "SIGTERM"]
