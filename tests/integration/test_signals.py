"""Ctrl-C and SIGTERM, sent to real runs."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from copycat.runs.history import read_history

PATIENCE = 120
"""Seconds until a run that does not answer is given up."""


def _start(tiny: Path, at: Path) -> subprocess.Popen[str]:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000"]
    command = [sys.executable, "-m", "copycat", "train", *words]
    return subprocess.Popen(command, cwd=at, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_epochs(at: Path, count: int) -> Path:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for file in at.glob("outputs/*/*/*/metrics.csv"):
            if len(file.read_text().splitlines()) > count:
                return file.parent
        time.sleep(0.1)
    pytest.fail("the run did not start")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_as_interrupted_with_its_records_whole(
    number: signal.Signals, tiny: Path, tmp_path: Path
) -> None:
    with _start(tiny, tmp_path) as run:
        folder = _wait_for_epochs(tmp_path, 8)
        run.send_signal(number)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert "Epoch 5, Loss " in out
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["status"] == "interrupted"
    assert manifest["error"] == number.name
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert manifest["came_out"]["epochs"] == len(rows)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_ctrl_c_ends_a_whole_sweep(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.max_epochs=1000000", "seed=range(50)"]
    command = [sys.executable, "-m", "copycat", "train", "-m", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
        deadline = time.monotonic() + PATIENCE
        while not list(tmp_path.glob("outputs/*/*/*/0/metrics.csv")):
            if time.monotonic() > deadline:
                sweep.kill()
                pytest.fail("the sweep did not start")
            time.sleep(0.1)
        sweep.send_signal(signal.SIGINT)
        sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == 130
    assert len(list(tmp_path.glob("outputs/*/*/*/*/run.json"))) == 1
