"""Some room on the disk, kept so that a run that fills it can still say so."""

from pathlib import Path

FILE = ".reserve"
BYTES = 2**16
"""More than a manifest and the last lines of a log take."""


def reserve(folder: Path) -> None:
    (folder / FILE).write_bytes(bytes(BYTES))


def release(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)
