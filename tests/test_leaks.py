"""A test that leaves something behind fails."""

import subprocess
import threading

import pytest

from tests.support.leaks import check_for_leaks


def test_a_process_left_behind_fails_its_test_and_is_killed() -> None:
    with pytest.raises(pytest.fail.Exception, match="sleep 60"), check_for_leaks(patience_seconds=0):
        process = subprocess.Popen(["sleep", "60"])
    assert process.wait(10) == -9


def test_a_thread_left_behind_fails_its_test() -> None:
    end = threading.Event()
    with pytest.raises(pytest.fail.Exception, match="worker-7"), check_for_leaks(patience_seconds=0):
        threading.Thread(target=end.wait, name="worker-7").start()
    end.set()


def test_what_ends_in_time_is_not_left_behind() -> None:
    with check_for_leaks():
        threading.Timer(0.1, lambda: None).start()
        process = subprocess.Popen(["sleep", "0.1"])
    assert process.wait(0) == 0
