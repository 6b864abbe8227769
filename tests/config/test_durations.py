"""Durations are read as they are written, and anything else is refused."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copycat.config.durations import MAX_SECONDS, parse_duration


@given(days=st.integers(0, 99), hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(1, 59))
def test_units_and_colons_give_the_seconds_of_timedelta(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == expected
    assert parse_duration(f"{days:02}:{hours:02}:{minutes:02}:{seconds:02}") == expected
    assert parse_duration(int(expected)) == expected


@pytest.mark.parametrize("written", ["", "0s", "10", "1m30", "s", "1:30", "-5s", "5 s", 0, -1, True, None, [5], "1e9s"])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a time above 0 as 90s"):
        parse_duration(written)


@pytest.mark.parametrize("written", [MAX_SECONDS + 1, "9" * 60 + "d", "1" * 101 + "s", float("inf"), float("nan")])
def test_what_a_timer_cannot_wait_for_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_duration(written)
