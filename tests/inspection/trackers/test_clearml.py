"""An offline session of ClearML has what the run folder has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from copycat.records.metrics_csv import read_history
from copycat.records.run_folder import read_manifest
from tests.support.commands import run_copycat_in_new_interpreter
from tests.support.run_folders import find_only_run

pytestmark = pytest.mark.slow


def test_a_session_has_every_epoch_image_and_file(tiny: Path, tmp_path: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "model=logistic", "trainer.max_epochs=2"]
    environment = {"CLEARML_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    logger = ["logger=clearml", "logger.clearml.offline=true"]
    done = run_copycat_in_new_interpreter("train", *words, *logger, at=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert "ClearML" not in done.stdout
    folder = find_only_run(tmp_path / "outputs/default")
    (session,) = [path for path in (tmp_path / "cache/offline").iterdir() if path.is_dir()]
    events = [e for line in (session / "metrics.jsonl").read_text().splitlines() for e in json.loads(line)]
    for name in ("train/loss", "val/accuracy"):
        sent = [(event["iter"], event["value"]) for event in events if event["metric"] == name]
        assert sent == [(row["epoch"], row[name]) for row in read_history(folder)]
    final = {event["variant"]: event["value"] for event in events if event["variant"].startswith("final/")}
    assert final.items() >= {f"final/{k}": v for k, v in read_manifest(folder)["results"]["final"].items()}.items()
    files = {path.name: path for path in session.rglob("*") if path.is_file()}
    for name in ("config.yaml", "metrics.csv", "weights.safetensors"):
        assert files[name].read_bytes() == (folder / name).read_bytes()
    task = json.loads((session / "task.json").read_text())
    assert task["name"] == str(folder.relative_to(tmp_path / "outputs"))
    assert any("confusion_matrix" in json.dumps(event) for event in events)


def test_no_process_is_forked_beside_the_threads_of_a_run(tmp_path: Path) -> None:
    """ClearML does by default: the child keeps pipes and locks of other threads, and the run may never end."""
    words = ["train", "model=logistic", "trainer.max_epochs=1", "data.train=20", "data.val=10", "callbacks=none"]
    program = f"""
import os
from copycat.cli import main
os.fork = lambda: os._exit(99)
main({[*words, "logger=clearml", "logger.clearml.offline=true"]})
"""
    environment = {**os.environ, "CLEARML_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
