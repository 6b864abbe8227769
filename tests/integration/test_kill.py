"""Real runs, killed at random instants and resumed, against runs left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill.py"


def test_runs_killed_at_random_end_with_the_bits_of_runs_left_alone() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--rounds", "1"], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 rounds identical" in done.stdout
