"""The lock of a run folder: one process at a time holds it, and a killed one holds none."""

import os
from pathlib import Path

import pytest

from copycat.runs import lock
from copycat.runs.lock import LockedError, is_locked, locked
from tests.support.locks import hold_lock


def test_another_process_s_lock_is_seen_until_that_process_is_killed(tmp_path: Path) -> None:
    with hold_lock(tmp_path) as process:
        assert is_locked(tmp_path)
        with pytest.raises(LockedError, match="expected a run that stopped; it is still running"), locked(tmp_path):
            pass
        process.kill()
        process.wait()
        assert not is_locked(tmp_path)
        with locked(tmp_path):
            pass
    assert not is_locked(tmp_path)


def test_a_lock_that_its_last_holder_removes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = lock._lock, list[int]()

    def removed_first(descriptor: int) -> bool:
        if not taken:
            (tmp_path / lock.FILE).unlink()
        taken.append(descriptor)
        return take(descriptor)

    monkeypatch.setattr(lock, "_lock", removed_first)
    with locked(tmp_path):
        assert os.path.samestat(os.fstat(taken[-1]), (tmp_path / lock.FILE).stat())
    assert len(taken) == 2
