"""Trials in worker processes."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import copycat
print("started")
words = ["data=folder", "data.root={data}", "data.image_size=8", "trainer.max_epochs=1"]
print(copycat.sweep([*words, "hydra/launcher=processes", "hydra.launcher.workers=2"], seed="1,2").status)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(tiny: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(data=tiny))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["started", "completed"], done.stderr
    assert len(list(tmp_path.rglob("sweep.json"))) == 1
