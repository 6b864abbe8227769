"""Whether somebody is at a run, asked from outside and from inside."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records import lock
from copycat.records.lock import LockedError, current_status, is_locked, locked
from tests.support.locks import HOLD, hold_lock


def test_a_run_is_killed_once_the_process_that_held_its_lock_is(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with hold_lock(tmp_path) as process:
        assert is_locked(tmp_path)
        assert current_status("running", tmp_path) == "running"
        with pytest.raises(LockedError, match="still running"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert (tmp_path / ".lock").exists()
        assert not is_locked(tmp_path)
    assert current_status("running", tmp_path) == "killed"
    assert current_status("interrupted", tmp_path) == "interrupted"


def test_a_process_that_asks_after_its_own_lock_keeps_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert is_locked(tmp_path / ".." / tmp_path.name)
        done = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert "still running" in done.stderr
    assert not is_locked(tmp_path)


def test_nothing_that_lies_there_as_a_lock_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    began = time.monotonic()
    is_locked(tmp_path)
    assert time.monotonic() - began < 1


def test_a_folder_that_takes_no_lock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")  # as a read-only folder, which root may write to
    line = r"/run: expected a folder to write to; Not a directory\.$"
    with pytest.raises(UserError, match=line), locked(tmp_path / "run"):
        pass


def test_a_lock_that_its_last_holder_removes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = fcntl.lockf, list[int]()

    def removed_first(descriptor: int, operation: int) -> None:
        if not taken:
            (tmp_path / lock.FILE).unlink()
        taken.append(descriptor)
        take(descriptor, operation)

    monkeypatch.setattr(fcntl, "lockf", removed_first)
    with locked(tmp_path):
        assert os.path.samestat(os.fstat(taken[-1]), (tmp_path / lock.FILE).stat())
    assert len(taken) == 2


def test_without_fcntl_filelock_locks_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)  # as on Windows
    monkeypatch.setattr(lock, "QUERY_SECONDS", 0.05)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path), "without fcntl"], capture_output=True, text=True, timeout=60
        )
        assert "still running" in done.stderr
    assert not is_locked(tmp_path)
    assert not (tmp_path / ".lock").exists()
    with hold_lock(tmp_path, "without fcntl") as process:
        assert current_status("running", tmp_path) == "running"
        with pytest.raises(LockedError, match="still running"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert current_status("running", tmp_path) == "killed"
