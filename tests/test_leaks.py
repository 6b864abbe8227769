"""A test that leaves something behind fails."""

import re
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from torch.utils.data import DataLoader

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


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("$COPYCAT_LEFT", lambda patch: patch.setenv("COPYCAT_LEFT", "1")),
        ("PIL.Image.MAX_IMAGE_PIXELS", lambda patch: patch.setattr(Image, "MAX_IMAGE_PIXELS", 7)),
    ],
)
def test_a_setting_left_changed_fails_its_test(
    name: str, change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.fail.Exception, match=re.escape(name)), check_for_leaks(patience_seconds=0):
        change(monkeypatch)


def start_worker() -> Any:
    batches = iter(DataLoader(range(9), num_workers=1))  # type: ignore[arg-type]
    next(batches)
    return batches


@pytest.mark.slow
def test_the_workers_of_a_loader_that_a_failed_run_left_end_with_it() -> None:
    def fail() -> None:
        kept: list[Any] = [start_worker()]
        kept.append(kept)  # as frames of a traceback hold each other

    with check_for_leaks():
        fail()


def test_a_worker_of_a_loader_that_is_left_behind_fails_its_test_alone() -> None:
    with pytest.raises(pytest.fail.Exception, match="to be left; got"), check_for_leaks(patience_seconds=0):
        batches = start_worker()
    assert subprocess.run(["true"], check=False).returncode == 0  # whose end has PyTorch look at its workers
    batches._shutdown_workers()
