"""Configurations drawn at random, trained in ways that must give the same bits."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "random_configurations.py"


def test_random_configurations_have_the_same_bits_in_each_way() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--runs", "5"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("5 of 5 configurations identical in each way\n")
