"""Extend a run to more epochs or more time: a new request, recorded in its configuration and manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any

from copycat.config.atomic_write import write_whole
from copycat.config.dotted_keys import iterate_values
from copycat.config.durations import format_duration, parse_duration
from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.printable import Notify
from copycat.config.schedule_lengths import TOTAL_KEYS
from copycat.config.suggestions import pluralize
from copycat.config.validation import check_value
from copycat.records.digests import key_digests
from copycat.records.run_folder import CONFIG, WEIGHTS
from copycat.records.run_loader import Opened
from copycat.records.trial_file import FILE as TRIAL
from copycat.records.yaml_text import to_yaml

EPOCHS, TIME = "trainer.max_epochs", "trainer.max_time"
COMPLETION_FILES = (WEIGHTS, "predictions.csv", "gallery.json", "quality.json", "calibration.json")
"""Files that only a completed run has."""
More = Mapping[str, int | float | str | None]
"""New values of EPOCHS, TIME or both; a time of None is unlimited."""
NOTHING_MORE: More = MappingProxyType({})


def check_more(more: More) -> None:
    """Raise a UserError for a value that its key refuses."""
    for key, value in more.items():
        check_value(key, value, {})


def extend_run(opened: Opened, more: More, *, notify: Notify) -> Opened:
    """Return the run as requested with more epochs or time, of which the trained ones are the first.

    Raises:
        UserError: where a run of so many epochs would have begun differently, or would not have gone further.
    """
    folder, config, manifest = opened.folder, opened.config, opened.manifest
    if (folder / TRIAL).exists():
        epochs = pluralize(config["trainer"]["max_epochs"], "epoch")
        before = f"is of {epochs}" if EPOCHS in more else "gives all trials their time"
        raise UserError(f"{folder}: expected a run by itself; got a trial, whose sweep {before}.")
    if EPOCHS in more:
        _check_epochs(opened, more[EPOCHS], notify=notify)
    if TIME in more:
        _check_time(opened, more[TIME])
    elif manifest["status"] == "completed" and "ended_early" in manifest["results"]:
        raise UserError(f"{folder}: expected more time, as its {TIME} is over. Type {TIME}=MORE too, or {TIME}=null.")
    longer = {**config, "trainer": {**config["trainer"], **{key.partition(".")[2]: more[key] for key in more}}}
    return with_changes(opened, longer, [f"{key}={'null' if value is None else value}" for key, value in more.items()])


def before_extension(opened: Opened, more: More, *, epochs: int) -> Opened:
    """Return a run without an extension that its config.yaml has and its run.json has not.

    The number of epochs that was requested before is that of a completed run, else the `epochs` that it trained.
    """
    results = opened.manifest["results"]
    former = {EPOCHS: results.get("ended_early", {}).get("max_epochs", results.get("epochs", epochs)), TIME: None}
    trainer = {**opened.config["trainer"], **{key.partition(".")[2]: former[key] for key in more}}
    return replace(opened, config={**opened.config, "trainer": trainer})


def with_changes(opened: Opened, config: dict[str, Any], words: Sequence[str]) -> Opened:
    """Return the run with a changed configuration, recorded as if it had been requested by these words too."""
    request = opened.manifest["request"]
    changed = {word.partition("=")[0] for word in words}
    kept = [word for word in request["overrides"] if word.partition("=")[0].lstrip("+") not in changed]
    request = {
        **request,
        "overrides": [*kept, *words],
        "config_digest": blake2b(to_yaml(config).encode(), digest_size=16).hexdigest(),
        "config_keys": key_digests(config),
    }
    return replace(opened, config=config, manifest={**opened.manifest, "request": request})


def _check_epochs(opened: Opened, epochs: Any, *, notify: Notify) -> None:
    """Check that a run can be extended to so many epochs, and report the settings that stay."""
    config, results = opened.config, opened.manifest["results"]
    before, trained = config["trainer"]["max_epochs"], results.get("epochs", 0)
    is_completed = opened.manifest["status"] == "completed"
    if epochs <= before:
        again = f" Type copycat resume {quote(str(opened.user_path))}, which trains all {before}."
        hint = again if epochs == before and not is_completed else ""
        raise UserError(f"{EPOCHS}: expected more than the run's {before}; got {epochs}.{hint}")
    if is_completed and trained < before and "ended_early" not in results:
        raise stopped_early(opened, before, trained)
    for name, node in (config["callbacks"] or {}).items():
        if node and is_option(node["_target_"], "callbacks", "swa"):
            raise UserError(
                f"callbacks.{name}: expected none, as it starts at a share of {EPOCHS}. Type copycat train."
            )
    for key, value in iterate_values(config["scheduler"], "scheduler."):
        if key.rpartition(".")[2] == "total_steps":
            raise UserError(
                f"{key}: expected a schedule that can be extended; this cycle ends after {value}. Type copycat train."
            )
        if key.rpartition(".")[2] in TOTAL_KEYS:
            notify(f"{key} stays {value}, as the run began with it")


def stopped_early(opened: Opened, planned: int, trained: int) -> UserError:
    """Return the error for a run that early stopping ended: a longer one has no more epochs."""
    after = f"it stopped early, after {trained} of {pluralize(planned, 'epoch')}"
    return UserError(f"{opened.folder}: expected a run that early stopping did not end; {after}.")


def _check_time(opened: Opened, time: Any) -> None:
    """Check that a run goes further within this time."""
    before = opened.config["trainer"].get("max_time")
    if opened.manifest["status"] == "completed" and "ended_early" not in opened.manifest["results"]:
        raise UserError(f"{TIME}: expected a run that ended by its time; it is completed, with all its epochs.")
    if time is not None and before is not None and parse_duration(time) <= parse_duration(before):
        raise UserError(f"{TIME}: expected more than the run's {format_duration(before)}; got {format_duration(time)}.")
    took = opened.manifest["seconds"] or 0.0
    if time is not None and parse_duration(time) <= took:
        raise UserError(f"{TIME}: expected more than the {took:.1f}s that the run took; got {format_duration(time)}.")


def write_extended(folder: Path, config: dict[str, Any]) -> None:
    """Write the new configuration, and remove the files of the previous end, which are of other weights."""
    write_whole(folder / CONFIG, to_yaml(config).encode())
    for name in COMPLETION_FILES:
        (folder / name).unlink(missing_ok=True)
