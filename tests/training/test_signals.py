"""Which signals end a run, and how often."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from copycat.training.checkpoints import LastCheckpoint
from copycat.training.signals import SignalHandler


@pytest.fixture(autouse=True)
def _hangup_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_asks_a_run_to_stop(name: str, tmp_path: Path) -> None:
    stop, number = SignalHandler(), signal.Signals[name]
    stop.last = LastCheckpoint(str(tmp_path))
    before = signal.getsignal(number)
    with stop.listening():
        os.kill(os.getpid(), number)
        assert stop.received == name
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_is_an_order_but_a_second_hangup_is_the_same_closed_terminal(tmp_path: Path) -> None:
    stop = SignalHandler()
    stop.last = LastCheckpoint(str(tmp_path))
    with stop.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)  # the shell in the terminal sends it too
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_under_nohup_a_hangup_ends_nothing(tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = SignalHandler()
    stop.last = LastCheckpoint(str(tmp_path))
    with stop.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.received is None
