"""The signals of a run where there is no alarm, and those of Windows."""

import os
import signal
import time

import pytest

from copycat.training import signals
from copycat.training.checkpoints import LastCheckpoint
from copycat.training.signals import InterruptedRun, SignalHandler


def test_without_an_alarm_a_step_that_takes_long_is_aborted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.delattr(signal, "SIGALRM")
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)
    handler = SignalHandler()
    handler.last = LastCheckpoint.__new__(LastCheckpoint)
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptedRun, match="SIGTERM"):
            time.sleep(5)  # a step that takes long


def test_without_an_alarm_a_run_that_ends_in_time_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)
    handler = SignalHandler()
    handler.last = LastCheckpoint.__new__(LastCheckpoint)
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert handler.received == "SIGTERM"
    time.sleep(0.1)  # the timer would interrupt here


def test_signals_that_the_system_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
        monkeypatch.delattr(signal, name)
    assert [number.name for number in signals.ending_signals()] == ["SIGINT", "SIGTERM"]
