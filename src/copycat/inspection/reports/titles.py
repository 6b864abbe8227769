"""Titles of runs: what was trained on what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def make_title(config: Mapping[str, Any], manifest: Mapping[str, Any], *, folder: Path) -> str:
    """Return what was trained on what, such as `lecture: MLP on Cats`; the folder where that is unknown."""
    try:
        model, data = (str(config[group]["_target_"]).rpartition(".")[2] for group in ("model", "data"))
        experiment = str(manifest["request"]["experiment"])
    except (KeyError, TypeError):
        return str(folder)
    return f"{model} on {data}" if experiment in ("default", "sweep") else f"{experiment}: {model} on {data}"
