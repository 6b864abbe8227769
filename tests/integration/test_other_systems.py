"""Real runs on Windows and macOS, as far as Linux can stand for them: it refuses what they lack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copycat.records.metrics_csv import read_history
from tests.support.commands import TIMEOUT_SECONDS, run_copycat

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[1] / "support" / "scripts" / "other_systems"


def run_as_on(system: str, script: str, *arguments: object, at: Path) -> str:
    """Run a script in a new interpreter that refuses what the system lacks; return its output in Windows' encoding."""
    path = os.pathsep.join([str(SCRIPTS), *filter(None, sys.path)])
    environment = {
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "cp1252",
        "COPYCAT_TEST_SYSTEM": system,
        "COPYCAT_TEST_FOLDER": str(at),
    }
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, arguments)],
        cwd=at,
        env=os.environ | environment,
        capture_output=True,
        encoding="cp1252",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_on_windows_a_run_is_trained_interrupted_resumed_and_rerun_and_a_sweep_is_searched(
    tiny: Path, tmp_path: Path
) -> None:
    out = run_as_on("win32", "windows.py", tiny, at=tmp_path)
    run = tmp_path / out.partition("RUN ")[2].partition("\n")[0]
    assert "identical: 4 epochs" in out
    assert "Epoch 0, Loss " in out
    assert run_copycat("rerun", run, at=tmp_path).stdout.startswith("identical: 4 epochs")  # the bits of Linux
    trials = [json.loads(file.read_text()) for file in sorted(tmp_path.glob("sweep/*/trial.json"))]
    assert [trial["status"] for trial in trials] == ["completed", "completed"]
    assert (tmp_path / "sweep" / "study.journal").stat().st_size
    (endless,) = tmp_path.glob("endless/default/*/*/run.json")
    manifest = json.loads(endless.read_text())
    assert (manifest["status"], manifest["error"]) == ("interrupted", "SIGBREAK")
    assert manifest["results"]["epochs"] == len(read_history(endless.parent)) > 2
    events = {file.name for file in run.glob("tensorboard/**/events*")}
    assert {file.name for file in tmp_path.glob("names/*/**/events*")} == events  # copies
    assert not any(place.is_symlink() for place in (tmp_path / "names").iterdir())


def test_on_macos_trials_train_in_spawned_workers_and_in_packs(tiny: Path, tmp_path: Path) -> None:
    out = run_as_on("darwin", "macos.py", tiny, at=tmp_path)
    assert out.count("completed, 2 of 2 trials") == 2
    in_workers, packed = (
        [read_history(tmp_path / name / str(number))[-1]["train/loss"] for number in range(2)]
        for name in ("workers", "packed")
    )
    assert in_workers == pytest.approx(packed)
    assert run_copycat("rerun", tmp_path / "workers" / "0", at=tmp_path).stdout.startswith("identical: 2 epochs")
