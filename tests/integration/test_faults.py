"""Disks that fill up, folders that go away, clocks that go back: one clear line, and no half files."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copycat.records.metrics_csv import read_history
from tests.support.commands import start_copycat
from tests.support.tensorboard import read_scalars

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ALONE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
"""In a mount namespace of its own: what is mounted there goes with the process."""
PATIENCE = 120


def tiny_overrides(tiny: Path, *words: str) -> list[str]:
    return ["data=folder", f"data.root={tiny}", "data.image_size=8", "trainer.threads=1", *words]


def test_a_disk_that_fills_up_at_any_write_ends_the_run_with_a_line_and_whole_files(tiny: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "support" / "scripts" / "full_disk.py"
    command = [*ALONE, sys.executable, str(script), str(tmp_path), str(tiny)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    reference, *found = (json.loads(line) for line in done.stdout.splitlines())
    rows = reference["reference"]["rows"]
    assert len(rows) == 4
    ends = {entry.get("status", "refused" if "refused" in entry else "resumed") for entry in found}
    assert ends == {"refused", "failed", "completed", "resumed"}
    assert {len(entry["rows"]) for entry in found if "rows" in entry} >= {0, 4}
    for entry in found:
        if "refused" in entry:
            assert re.fullmatch(
                r"output_dir: expected a folder to write to; got \S+: No space left on device\.", entry["refused"]
            )
            assert entry["left"] == []
            continue
        assert entry["damaged"] == entry["half_written"] == []
        assert entry["rows"] == rows[: len(entry["rows"])]
        if entry.get("status") == "failed":
            assert entry["manifest"] == "failed"
            assert re.fullmatch(r"No space left on device: \S+", entry["error"])
            assert not entry["weights"]
        else:
            assert entry["manifest"] == "completed"
            assert entry["rows"] == rows
            assert entry["weights"]


def test_a_full_disk_is_one_line_of_the_command_too(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    train = [
        sys.executable,
        "-m",
        "copycat",
        "train",
        *tiny_overrides(tiny, "trainer.max_epochs=3", "output_dir=disk/out"),
    ]
    mount = 'mount -t tmpfs -o size=144k tmpfs disk && exec "$@"'
    done = subprocess.run(
        [*ALONE, "sh", "-c", mount, "sh", *train], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1
    assert re.fullmatch(r"copycat: failed: No space left on device: \S+\. More in \S+/train\.log\.\n", done.stderr)


def test_a_disk_that_can_t_be_written_is_one_line_and_nothing_is_made(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    train = [sys.executable, "-m", "copycat", "train", *tiny_overrides(tiny, "output_dir=disk/out")]
    mount = 'mount -t tmpfs -o ro tmpfs disk && exec "$@"'
    done = subprocess.run(
        [*ALONE, "sh", "-c", mount, "sh", *train], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert done.stderr == "copycat: output_dir: expected a folder to write to; got disk/out: Read-only file system.\n"


@pytest.mark.parametrize("words", [[], ["callbacks=none", "logger=none"]], ids=["with checkpoints", "with none"])
def test_a_folder_that_goes_away_ends_the_run_and_is_not_made_again(
    words: list[str], tiny: Path, tmp_path: Path
) -> None:
    # with nothing but an open file to write, a run only notices at its end; that must come after its first flush
    epochs = 10_000 if words else 100_000
    with start_copycat("train", *tiny_overrides(tiny, f"trainer.max_epochs={epochs}", *words), at=tmp_path) as run:
        deadline = time.monotonic() + PATIENCE
        while not (found := [f for f in tmp_path.glob("outputs/*/*/*/metrics.csv") if f.stat().st_size > 200]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        folder = found[0].parent
        # at once: while it was being emptied the run would add to it
        shutil.rmtree(folder.rename(tmp_path / "going"))
        _, err = run.communicate(PATIENCE)
    assert run.returncode == 1
    assert err == f"copycat: failed: {folder.relative_to(tmp_path)}: the run folder is gone.\n"
    assert not folder.exists()


BACKWARDS = """
import datetime, time
real, began = time.time, time.time()
def back(): return began - 10 * (real() - began) - 3600
time.time = back
class Backwards(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return cls.fromtimestamp(back(), tz)
datetime.datetime = Backwards
"""


def test_a_clock_that_goes_backwards_spoils_no_record(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BACKWARDS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "copycat", "train", *tiny_overrides(tiny, "trainer.max_epochs=30")]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=PATIENCE)
    (folder,) = tmp_path.glob("outputs/*/*/*")
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["ended"] < manifest["started"]  # the clock did go back
    assert manifest["status"] == "completed"
    assert manifest["seconds"] > 0
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == list(range(30))
    points = read_scalars(folder / "tensorboard" / "train")["loss"]
    assert [step for step, _ in points] == list(range(30))
