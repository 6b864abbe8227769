"""How tests sweep: real processes, in a folder of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PATIENCE = 400


def words(data: Path, *more: str) -> list[str]:
    """What all of these sweeps share: 8×8 images, a short run, one thread."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8"]
    return [*where, "trainer.max_epochs=3", "trainer.threads=1", "logger=none", *more]


def copycat(*typed: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "copycat", *map(str, typed)]
    return subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=PATIENCE, check=False)


def trials(sweep: Path) -> dict[int, dict[str, Any]]:
    """What each trial.json says."""
    return {int(file.parent.name): json.loads(file.read_text()) for file in sweep.glob("*/trial.json")}


def state(sweep: Path) -> dict[str, Any]:
    """What sweep.json says."""
    found: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return found
