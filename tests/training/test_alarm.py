"""An alarm interrupts the main thread while it waits; one that was cancelled, or set anew, does not."""

import signal
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from copycat.training.alarm import Alarm


class Rung(Exception):  # noqa: N818, no error
    """Report that SIGINT came."""


@pytest.fixture(autouse=True)
def _reported() -> Iterator[None]:
    def report(number: int, frame: FrameType | None) -> None:
        raise Rung

    before = signal.signal(signal.SIGINT, report)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_alarm_interrupts_what_waits() -> None:
    alarm, started = Alarm(), time.monotonic()
    alarm.set(0.05)
    with pytest.raises(Rung):
        time.sleep(60)
    assert time.monotonic() - started < 30
    assert (alarm.take_ring(), alarm.take_ring()) == (True, False)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_time_that_is_over_rings_at_once(seconds: float) -> None:
    with pytest.raises(Rung):  # noqa: PT012, in any of these
        Alarm().set(seconds)
        for _ in range(3000):  # a signal between Python's check and a long sleep would wait for its end
            time.sleep(0.01)


def test_a_cancelled_alarm_does_not_ring() -> None:
    alarm = Alarm()
    alarm.set(0.05)
    alarm.cancel()
    time.sleep(0.1)
    assert not alarm.take_ring()


def test_an_alarm_rings_at_the_last_time_set() -> None:
    alarm, started = Alarm(), time.monotonic()
    alarm.set(0.05)
    alarm.set(0.3)
    with pytest.raises(Rung):
        time.sleep(60)
    assert time.monotonic() - started >= 0.3


def test_an_alarm_that_is_cancelled_as_it_rings_rings_before_or_never() -> None:
    for number in range(300):
        alarm = Alarm()
        try:
            alarm.set(0.001)
            time.sleep(0.0007 + number % 7 * 1e-4)
            alarm.cancel()
        except Rung:
            continue
        time.sleep(0.001)  # raises where the signal comes after all
