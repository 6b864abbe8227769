"""Ctrl-C and SIGTERM, sent to real runs."""

import json
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from copycat.records.metrics_csv import read_history
from copycat.training.recorder import RunRecorder
from copycat.training.result import RunResult
from tests.support.commands import RunningCommand, call_copycat, run_copycat, start_copycat

pytestmark = pytest.mark.slow

PATIENCE = 120
"""Seconds until a run that does not answer is given up."""


def _start(tiny: Path, at: Path, *more: str) -> RunningCommand:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000", *more]
    return start_copycat("train", *words, at=at)


def _wait_for_epochs(at: Path, count: int) -> Path:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for file in at.glob("outputs/*/*/*/metrics.csv"):
            if len(file.read_text().splitlines()) > count:
                return file.parent
        time.sleep(0.1)
    pytest.fail("the run did not start")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_a_signal_ends_a_run_as_interrupted_with_its_records_whole(
    number: signal.Signals, tiny: Path, tmp_path: Path
) -> None:
    with _start(tiny, tmp_path, "callbacks.last.every_n_epochs=null", "callbacks.last.every_seconds=null") as run:
        folder = _wait_for_epochs(tmp_path, 8)
        run.send_signal(number)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert f"copycat resume {folder.relative_to(tmp_path)}" in out
    assert "Traceback" not in err
    assert "Epoch 5, Loss " in out
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["status"] == "interrupted"
    assert manifest["error"] == number.name
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert manifest["results"]["epochs"] == len(rows)
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["copycat"]["epoch"] == len(rows)  # nothing that was trained is lost


TERMINAL = """
import fcntl, os, termios
terminal = os.open({name!r}, os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
for number in range(3):
    os.dup2(terminal, number)
"""


@contextmanager
def _open_terminal() -> Iterator[str]:
    """Open a terminal that shows nothing; yield its name, and close it at the end."""
    ours, theirs = os.openpty()
    closes = threading.Event()

    def read() -> None:
        while not closes.is_set():
            if select.select([ours], [], [], 0.05)[0]:
                os.read(ours, 2**16)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield os.ttyname(theirs)
    finally:
        closes.set()
        reader.join()
        os.close(theirs)
        os.close(ours)


def test_a_terminal_that_closes_ends_its_run_saved(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000"]
    with ExitStack() as stack:
        with _open_terminal() as name:
            program = TERMINAL.format(name=name)
            run = stack.enter_context(start_copycat("train", *words, at=tmp_path, program=program, new_session=True))
            folder = _wait_for_epochs(tmp_path, 8)
        assert run.wait(PATIENCE) == 130
    manifest = json.loads((folder / "run.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("interrupted", "SIGHUP")
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["copycat"]["epoch"] == len(read_history(folder))


def test_a_signal_ends_a_run_that_is_stuck_in_its_validation(tiny: Path, tmp_path: Path) -> None:
    sleeps = "+callbacks.sleeps={_target_: tests.support.callbacks.SleepCallback, epoch: 8}"
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", sleeps]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with start_copycat("train", *words, at=tmp_path, environment=environment) as run:
        folder = _wait_for_epochs(tmp_path, 8)
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert time.monotonic() - began < 30  # it sleeps for minutes
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    # of such short epochs not each is saved, and here training is at no place where it could be
    assert 1 <= torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["copycat"]["epoch"] <= 8


def test_ctrl_c_while_the_workers_of_a_sweep_start_ends_it(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000", "seed=1,2"]
    with start_copycat("train", "-m", *words, "hydra/launcher=processes", "sweep.folder=sweep", at=tmp_path) as sweep:
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "sweep" / "0" / "trial.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        sweep.send_signal(signal.SIGINT)  # the server of workers imports for a second
        _, errors = sweep.communicate(timeout=30)
    assert sweep.returncode == 130
    assert errors.splitlines()[-1] == "copycat: interrupted."


@pytest.mark.parametrize(
    ("launcher", "at_once", "number"),
    [("basic", 1, signal.SIGINT), ("basic", 1, signal.SIGHUP), ("processes", 2, signal.SIGINT)],
)
def test_ctrl_c_or_a_hangup_ends_a_whole_sweep(
    launcher: str, at_once: int, number: signal.Signals, tiny: Path, tmp_path: Path
) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000", "seed=range(50)"]
    words += [f"hydra/launcher={launcher}"] + ["hydra.launcher.workers=2"] * (launcher == "processes")
    with start_copycat("train", "-m", *words, at=tmp_path) as sweep:
        deadline = time.monotonic() + PATIENCE
        while len(list(tmp_path.glob("outputs/*/*/*/*/metrics.csv"))) < at_once:
            if time.monotonic() > deadline:
                sweep.kill()
                pytest.fail("the sweep did not start")
            time.sleep(0.1)
        sweep.send_signal(number)
        _, errors = sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == 130
    (folder,) = tmp_path.glob("outputs/*/*/*/sweep.json")
    assert f"copycat resume {folder.relative_to(tmp_path).parent}\n" in errors
    statuses = [json.loads(file.read_text())["status"] for file in folder.parent.glob("*/run.json")]
    assert statuses == ["interrupted"] * at_once


def test_ctrl_c_with_the_last_records_of_a_trial_ends_its_sweep_too(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = RunRecorder.end

    def signalled(recorder: RunRecorder, *args: Any, **more: Any) -> RunResult:
        monkeypatch.setattr(RunRecorder, "end", end)
        os.kill(os.getpid(), signal.SIGINT)
        return end(recorder, *args, **more)

    monkeypatch.setattr(RunRecorder, "end", signalled)
    monkeypatch.chdir(tmp_path)
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=2", "sweep.folder=sweep"]
    call_copycat("train", "-m", "seed=1,2", *words, status=130)
    assert [json.loads(file.read_text())["status"] for file in Path("sweep").glob("*/run.json")] == ["completed"]
    call_copycat("resume", "sweep")
    assert json.loads(Path("sweep/0/trial.json").read_text())["status"] == "completed"
    assert json.loads(Path("sweep/1/trial.json").read_text())["status"] == "completed"


def test_a_run_on_its_way_is_not_resumed_by_another_process(tiny: Path, tmp_path: Path) -> None:
    with _start(tiny, tmp_path) as run:
        folder = _wait_for_epochs(tmp_path, 2)
        other = run_copycat("resume", folder, at=tmp_path)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=PATIENCE)
    assert other.returncode == 2
    assert other.stderr == f"copycat: {folder}: expected a run that stopped; it is still running.\n"
