"""What a run on two ranks records where one of them fails, and that it resumes to the bits of a whole run."""

import errno
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from copycat.config.errors import UserError
from copycat.records.checkpoint_file import damage
from copycat.records.lock import current_status
from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from copycat.records.run_loader import open_run
from copycat.training.launch import SHUTDOWN_SECONDS
from copycat.training.resume import resume
from tests.support.commands import run_copycat, start_copycat
from tests.support.parameters import mark_slow
from tests.support.ranks import TWO, largest_difference, train_on
from tests.support.runs import train_tiny

WORDS = ("data.batch_size=4", "trainer.max_epochs=4", "logger=none", "callbacks.last.every_n_steps=1")
LIMIT_SECONDS = 5


FAILURES = [
    ("exception", 1, "ValueError: this rank is broken"),
    ("exception", 0, "ValueError: this rank is broken"),
    ("kill", 1, "died or stopped responding"),
    ("kill", 0, "ended by SIGKILL"),
    ("stop", 1, "died or stopped responding"),
    ("stop early", 1, "died or stopped responding"),
]
"""How a rank fails, which one, and what the run's error says of it."""


@pytest.mark.parametrize(("how", "rank", "reason"), mark_slow(FAILURES, fast=FAILURES[:1], unpack=True))
def test_a_rank_that_fails_ends_the_run_which_names_it_and_resumes(
    how: str, rank: int, reason: str, uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = train_on(2, *WORDS, data=uneven, at=tmp_path)
    failing = ("+callbacks.fail._target_=tests.support.ranks.FailOnRank", f"+callbacks.fail.rank={rank}")
    words = (*TWO, f"trainer.timeout={LIMIT_SECONDS}s", *WORDS, *failing, f"+callbacks.fail.how='{how}'")
    began = time.monotonic()
    failed = train_tiny(*words, data=uneven, at=tmp_path)
    assert time.monotonic() - began < LIMIT_SECONDS + 30
    assert failed.status == read_manifest(failed.folder)["status"] == "failed"
    assert failed.manifest["error"] == read_manifest(failed.folder)["error"]
    assert f"rank {rank} on {socket.gethostname()}" in failed.manifest["error"]
    assert reason in failed.manifest["error"]
    assert failed.manifest["results"]["epochs"] == len(read_history(failed.folder))
    resumed = resume(open_run(failed.folder), notify=lambda _: None)
    assert resumed.status == "completed"
    assert largest_difference(whole, resumed) == 0


def _command(uneven: Path) -> tuple[str, ...]:
    where = ("data=folder", f"data.root={uneven}", "data.image_size=8")
    return ("train", *TWO, *where, "data.batch_size=4", "trainer.max_epochs=100000", "logger=none")


def _wait_for_rows(root: Path) -> Path:
    """Return the run folder, once it has rows."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in root.rglob("metrics.csv"):
            if len(read_history(path.parent)) > 2:
                return path.parent
        time.sleep(0.1)
    raise AssertionError("expected epochs; got none")


def _descendants(parent: int) -> set[int]:
    """Return the processes that a process has started, and those that these have started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, new = set(), {parent}
    while new:
        new = {child for child, of in parents.items() if of in new}
        found |= new
    return found


def test_no_rank_is_left_once_the_agent_was_killed(uneven: Path, tmp_path: Path) -> None:
    with start_copycat(*_command(uneven), at=tmp_path) as command:
        folder = _wait_for_rows(tmp_path)
        ranks = _descendants(command.pid)
        assert len(ranks) >= 2
        command.kill()
        end = time.monotonic() + 10
        while time.monotonic() < end and any(Path(f"/proc/{number}").exists() for number in ranks):
            time.sleep(0.1)
        assert not [number for number in ranks if Path(f"/proc/{number}").exists()]
    # ranks that meet by the agent's store as it dies can agree on nothing more
    assert current_status(read_manifest(folder)["status"], folder) in ("interrupted", "killed", "failed")
    assert damage(folder / "checkpoints" / "last.ckpt") is None


@pytest.mark.parametrize("target", ["agent", "rank"])
def test_a_signal_saves_and_ends_all_ranks_together(target: str, uneven: Path, tmp_path: Path) -> None:
    with start_copycat(*_command(uneven), at=tmp_path) as command:
        folder = _wait_for_rows(tmp_path)
        if target == "agent":
            command.send_signal(signal.SIGINT)
        else:
            os.kill(max(_descendants(command.pid)), signal.SIGTERM)
        assert command.wait(SHUTDOWN_SECONDS - 5) == 130  # no rank waits until it is killed
        _, error = command.communicate()
    assert error.splitlines()[-1] == "copycat: interrupted."
    assert "Traceback" not in error
    manifest = read_manifest(folder)
    assert manifest["status"] == "interrupted"
    assert damage(folder / "checkpoints" / "last.ckpt") is None


def test_a_signal_to_one_rank_ends_the_final_evaluation_of_all(uneven: Path, tmp_path: Path) -> None:
    whole = train_on(2, *WORDS, data=uneven, at=tmp_path)
    interrupting = "+callbacks.stop._target_=tests.support.ranks.InterruptAtEnd"
    stopped = train_tiny(*TWO, *WORDS, interrupting, data=uneven, at=tmp_path)
    assert stopped.status == "interrupted"
    resumed = resume(open_run(stopped.folder), notify=lambda _: None)
    assert resumed.status == "completed"
    assert largest_difference(whole, resumed) == 0


@pytest.mark.parametrize("word", ["optimizer.lr=banana", "data.root=nowhere", "loss.class_weights=[1.0,2.0,3.0]"])
def test_a_wrong_call_is_one_line_whatever_the_number_of_ranks(word: str, uneven: Path, tmp_path: Path) -> None:
    command = run_copycat(*_command(uneven), word, at=tmp_path)
    assert command.returncode == 2
    lines = [line for line in command.stderr.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith(f"copycat: {word.partition('=')[0]}")
    assert not list(tmp_path.rglob("run.json"))


def test_a_full_disk_before_training_is_one_line_of_all_ranks(
    uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("copycat.training.recorder.reserve", fill)  # of which forked ranks learn
    with pytest.raises(UserError, match=r"^output_dir: expected a folder to write to; got .*: No space left on device"):
        train_tiny(*TWO, *WORDS, data=uneven, at=tmp_path / "out")
    assert not (tmp_path / "out").exists()
