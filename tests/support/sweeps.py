"""Compose tiny sweeps, and read the files of a sweep folder."""

import json
from pathlib import Path
from typing import Any


def tiny_sweep_overrides(data: Path, *overrides: str) -> list[str]:
    """Return overrides of a sweep of short runs on 8×8 images with one thread, followed by further overrides."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8"]
    return [*where, "trainer.max_epochs=3", "trainer.threads=1", "logger=none", *overrides]


def read_trial_files(sweep: Path) -> dict[int, dict[str, Any]]:
    """Read each trial.json of a sweep folder, by trial number."""
    return {int(file.parent.name): json.loads(file.read_text()) for file in sweep.glob("*/trial.json")}


def read_sweep_file(sweep: Path) -> dict[str, Any]:
    """Read the sweep.json of a sweep folder."""
    found: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return found
