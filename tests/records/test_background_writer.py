"""What a run does not wait for is done in order, and its failures are not lost."""

import time
from functools import partial

import pytest

from copycat.records.background_writer import BackgroundWriter


def test_jobs_run_in_the_order_of_submission() -> None:
    writer, done = BackgroundWriter(), list[int]()

    def job(number: int) -> None:
        time.sleep(0.001 * (20 - number))
        done.append(number)

    for number in range(20):
        writer.submit(partial(job, number))
    writer.wait()
    assert done == list(range(20))


def test_a_failure_is_raised_by_the_next_submission_or_at_the_end() -> None:
    def fail() -> None:
        time.sleep(0.05)
        raise OSError(28, "No space left on device")

    writer, done = BackgroundWriter(), list[str]()
    writer.submit(fail)
    time.sleep(0.2)  # it has failed by now
    with pytest.raises(OSError, match="No space left"):
        writer.submit(lambda: None)
    writer.wait()
    writer.submit(fail)
    writer.submit(lambda: done.append("relies on it"))
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    assert done == []
    writer.wait()
