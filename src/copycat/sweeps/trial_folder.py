"""Inspect the folder of a trial before a start: its lock, the run in it; and write the record of its starts and end."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import describe_error, first_line
from copycat.records.lock import LockedError, is_locked
from copycat.records.metrics_csv import count_epochs
from copycat.records.run_folder import MANIFEST, SEARCH_TABLE, is_search_table
from copycat.records.run_loader import Opened, open_run
from copycat.records.trial_file import FILE, Trial, read_own_trial, read_trial, write_trial
from copycat.sweeps.search.objectives import compute_violations, get_objectives, read_values
from copycat.training.manifest import now
from copycat.training.result import RunResult

PATIENCE = 30.0
"""Seconds to wait for another process that is about to end."""
DEATHS = 3
"""Deaths of workers at the same epoch after which a trial counts as failed: it may take all memory."""
ATTEMPTS = 6
"""The same limit for deaths of the sweep's own process, which may have other causes."""


def find_run(folder: Path, overrides: Sequence[str]) -> Opened | None:
    """Open the run in a trial's folder; None if there is none, or if it is damaged or changed, which is printed.

    Raises:
        UserError: if its files cannot be read.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        return None
    try:
        opened = open_run(folder)
        if not opened.own:
            raise UserError(
                f"{manifest}: expected a run that you made; its signature is not yours, or its files changed."
            )
        recorded = opened.manifest["request"]["overrides"]
        if [*map(_without_place, recorded)] != [*map(_without_place, overrides)]:
            raise UserError(f"{manifest}: expected the run of trial {folder.name}; got that of another.")
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise
        print_line(f"copycat: {error}", error=True)
        return None
    return opened


def _without_place(word: str) -> str:
    """Return an override, without the place of a search's table, which moves with the search's folder."""
    return SEARCH_TABLE if is_search_table(word) else word


def wait_until_free(folder: Path) -> None:
    """Wait until a process of a killed sweep releases a trial's folder.

    Raises:
        LockedError: if it still holds the folder after `PATIENCE` seconds.
    """
    until = time.monotonic() + PATIENCE
    while is_locked(folder):
        if time.monotonic() > until:
            raise LockedError(f"{folder}: expected a trial that no other process runs; it is still running.")
        time.sleep(0.5)


def write_first_record(folder: Path, number: int, overrides: list[str], values: dict[str, Any]) -> None:
    """Write trial.json of a trial that is about to start, unless the user's own exists."""
    if read_own_trial(folder) is not None:
        return
    record = Trial(number=number, overrides=overrides, values=values, attempts=0, started=now())
    try:
        record = replace(read_trial(folder), number=number, overrides=overrides, values=values)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        print_line(f"copycat: {folder / FILE}: expected the record of a trial; {first_line(error)}", error=True)
    write_trial(folder, record)


def start_attempt(folder: Path, trial: Trial) -> Trial:
    """Record another start of a trial; return it as failed if its process died too often."""
    try:
        epochs = count_epochs(folder)
    except (OSError, ValueError):
        epochs = 0
    attempts = 1 if epochs > trial.epochs_at_start else trial.attempts + 1
    trial = replace(trial, attempts=attempts, epochs_at_start=epochs)
    write_trial(folder, trial)
    if attempts > ATTEMPTS:
        error = f"its process died {ATTEMPTS} times at epoch {trial.epochs_at_start}: killed, or out of memory?"
        return replace(trial, status="failed", error=error)
    return trial


def fail_trial(trial: Trial, failure: Exception) -> Trial:
    """Return the record of a trial that failed by an error."""
    return replace(trial, status="failed", error=describe_error(failure))


def conclude_trial(trial: Trial, outcome: RunResult, settings: Mapping[str, Any]) -> Trial:
    """Return the record of a trial whose run ended; `settings` is the node `sweep`."""
    wanted, error = get_objectives(settings), outcome.manifest["error"]
    if outcome.status == "failed":
        return replace(trial, status="failed", error=error)
    values = read_values(outcome.folder, outcome.manifest, wanted)
    lacking = [name for name in wanted if name not in values]
    if lacking:
        return replace(trial, status="failed", error=f"no {lacking[0]} was measured")
    reached = {name: values[name] for name in wanted}
    trial = replace(trial, status=outcome.status, error=error, objectives=reached)
    if outcome.status != "completed":
        return trial
    broken = compute_violations(settings["constraints"], values)
    return replace(trial, violated_constraints=[text for text, by in broken.items() if by > 0])
