"""Inspect the folder of a trial that was started before: the lock of another process, and the run in it."""

import time
from collections.abc import Sequence
from pathlib import Path

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.records.lock import LockedError, is_locked
from copycat.records.run_folder import MANIFEST
from copycat.records.run_loader import Opened, open_run

PATIENCE = 30.0
"""Seconds to wait for another process that is about to end."""


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
        if opened.manifest["request"]["overrides"] != list(overrides):
            raise UserError(f"{manifest}: expected the run of trial {folder.name}; got that of another.")
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise
        print_line(f"copycat: {error}", error=True)
        return None
    return opened


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
