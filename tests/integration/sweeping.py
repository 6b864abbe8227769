"""How tests sweep, and what they read of a sweep."""

import json
from pathlib import Path
from typing import Any


def words(data: Path, *more: str) -> list[str]:
    """What all of these sweeps share: 8×8 images, a short run, one thread."""
    where = ["data=folder", f"data.root={data}", "data.image_size=8"]
    return [*where, "trainer.max_epochs=3", "trainer.threads=1", "logger=none", *more]


def trials(sweep: Path) -> dict[int, dict[str, Any]]:
    """What each trial.json says."""
    return {int(file.parent.name): json.loads(file.read_text()) for file in sweep.glob("*/trial.json")}


def state(sweep: Path) -> dict[str, Any]:
    """What sweep.json says."""
    found: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return found
