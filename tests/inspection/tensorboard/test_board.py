"""`copycat board`: a real server, asked over HTTP and ended as a user ends it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.runs import train_tiny

pytestmark = pytest.mark.server

BOARD = [sys.executable, "-m", "copycat", "board", "--no-browser"]


def test_the_address_is_printed_and_ctrl_c_ends_it(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("trainer.max_epochs=2", data=tiny, at=tmp_path)
    with subprocess.Popen([*BOARD, outcome.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            address = board.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(f"{address}data/environment", timeout=60) as answer:
                assert outcome.folder.name in answer.read().decode()
            with urllib.request.urlopen(f"{address}data/runs", timeout=60) as answer:
                runs = json.load(answer)
            name = "default data=folder image_size=8 max_epochs=2"
            assert {name, f"{name}/train", f"{name}/val"} <= set(runs)
        finally:
            board.send_signal(signal.SIGINT)
            try:
                _, errors = board.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                board.kill()  # or the test would wait for it, for ever
                raise
    assert board.returncode == 0
    assert errors == ""


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*BOARD, tmp_path, "--port", port], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"copycat: --port: expected a free port; got {port}")
    assert done.stderr.count("\n") == 1


def test_it_starts_without_torch(tmp_path: Path) -> None:
    script = "import sys, copycat.inspection.tensorboard.board; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=dict(os.environ), cwd=tmp_path, check=True)
