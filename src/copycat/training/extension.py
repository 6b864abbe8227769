"""Extend a run to more epochs: a new request, recorded in its configuration and manifest."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.records.digests import key_digests
from copycat.records.run_folder import CONFIG, WEIGHTS
from copycat.records.run_loader import Opened
from copycat.records.trial_file import FILE as TRIAL
from copycat.records.yaml_text import to_yaml

KEY = "trainer.max_epochs"
COMPLETION_FILES = (WEIGHTS, "predictions.csv", "gallery.json")  # files that only a completed run has


def extend_run(opened: Opened, max_epochs: int, *, say: Callable[[str], None]) -> Opened:
    """Return the run as requested with more epochs, of which the trained ones are the first.

    Raises:
        UserError: where a run of so many epochs would have begun differently, or would not have gone further.
    """
    folder, config, manifest = opened.folder, opened.config, opened.manifest
    before, epochs = config["trainer"]["max_epochs"], manifest["results"].get("epochs", 0)
    if max_epochs <= before:
        raise UserError(f"{KEY}: expected more than the run's {before}; got {max_epochs}.")
    if (folder / TRIAL).exists():
        raise UserError(f"{folder}: expected a run by itself; got a trial, whose sweep is of {before} epochs.")
    if manifest["status"] == "completed" and epochs < before:
        raise UserError(f"{folder}: expected a run of all its {before} epochs; it stopped early, after {epochs}.")
    for name, node in (config["callbacks"] or {}).items():
        if node and is_option(node["_target_"], "callbacks", "swa"):
            raise UserError(f"callbacks.{name}: expected none, as it starts at a share of {KEY}. Type copycat train.")
    for name, value in config["scheduler"].items():
        if value == before and not isinstance(value, bool):
            say(f"scheduler.{name} stays {value}, as the run began with it")
    longer = {**config, "trainer": {**config["trainer"], "max_epochs": max_epochs}}
    words = [word for word in manifest["request"]["overrides"] if not word.startswith(f"{KEY}=")]
    request = {
        **manifest["request"],
        "overrides": [*words, f"{KEY}={max_epochs}"],
        "config_digest": blake2b(to_yaml(longer).encode(), digest_size=16).hexdigest(),
        "config_keys": key_digests(longer),
    }
    return replace(opened, config=longer, manifest={**manifest, "request": request})


def write_extended(folder: Path, config: dict[str, Any]) -> None:
    """Write the new configuration, and remove the files of the previous end, which are of other weights."""
    write_whole(folder / CONFIG, to_yaml(config).encode())
    for name in COMPLETION_FILES:
        (folder / name).unlink(missing_ok=True)
