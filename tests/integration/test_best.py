"""`copycat best` in processes of its own: interrupted, killed and resumed, and with too little time."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run_copycat, start_copycat
from tests.support.images import write_image_folder
from tests.support.portfolio import write_portfolio
from tests.support.sweeps import read_sweep_file

pytestmark = pytest.mark.slow

WORDS = ("best", "photos", "--folder", "found", "--candidates", "one,two", "logger=none", "callbacks=none")
ALONE = "hydra/launcher=basic"


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_portfolio(tmp_path, {"one": 0.01, "two": 0.02})
    write_image_folder(tmp_path / "photos", classes={"dog": 0, "cat": 60}, parts={"": 12}, levels=120)
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))


def read_trials(at: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in (at / "found" / "search").glob("*/trial.json")}


def wait_for_trials(at: Path, count: int) -> None:
    until = time.monotonic() + 120
    while sum(trial["status"] == "completed" for trial in read_trials(at).values()) < count:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "trials", "line"), [((ALONE,), 1, "so far"), ((), 9, "trained on 22 images")], ids=["alone", "processes"]
)
def test_ctrl_c_gives_the_best_so_far_and_a_resume_goes_on_to_the_same_result(
    words: tuple[str, ...], trials: int, line: str, tmp_path: Path
) -> None:
    whole = run_copycat(*WORDS, ALONE, at=tmp_path)
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "found").rename(tmp_path / "whole")
    with start_copycat(*WORDS, *words, at=tmp_path) as command:
        wait_for_trials(tmp_path, trials)
        command.send_signal(signal.SIGINT)
        out, errors = command.communicate(timeout=120)
    assert command.returncode == 130, errors
    assert line in out.splitlines()[0]
    assert "to resume: copycat resume found sweep.max_time=MORE" in out
    before = {name: trial["ended"] for name, trial in read_trials(tmp_path).items() if trial["status"] == "completed"}
    done = run_copycat("resume", "found", at=tmp_path)
    assert done.returncode == 0, done.stderr
    after = read_trials(tmp_path)
    assert {name: after[name]["ended"] for name in before} == before
    figures = [text for text in whole.stdout.splitlines() if text.startswith(("best:", "accuracy"))]
    assert [text for text in done.stdout.splitlines() if text.startswith(("best:", "accuracy"))] == figures


def test_a_search_that_is_killed_resumes(tmp_path: Path) -> None:
    for trials in (1, 6):
        words = (*WORDS, ALONE) if trials == 1 else ("resume", "found")
        with start_copycat(*words, at=tmp_path, new_session=True) as command:
            wait_for_trials(tmp_path, trials)
            os.killpg(command.pid, signal.SIGKILL)
            command.wait()
    assert 0 < read_sweep_file(tmp_path / "found")["seconds"] < 592  # of the 600 that it has
    done = run_copycat("resume", "found", at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nested cross-validation, 5 × 3 folds, 24 images" in done.stdout


def test_too_little_time_is_one_line(tmp_path: Path) -> None:
    words = ("trainer.max_epochs=3000000", "trainer.steps_per_execution=1", "sweep.max_time=15s")
    done = run_copycat(*WORDS, *words, at=tmp_path)
    assert done.returncode == 2
    assert re.search(r"each takes more than \d s, and 12 are needed\. Type --minutes MORE\.$", done.stderr.strip())
