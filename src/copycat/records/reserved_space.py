"""Reserve disk space, so that a run that fills the disk can still record its end."""

from pathlib import Path

FILE = ".reserve"
BYTES = 2**16
"""More than the size of a manifest and the last lines of a log."""


def reserve(folder: Path) -> None:
    """Reserve space in a run folder."""
    (folder / FILE).write_bytes(bytes(BYTES))


def release(folder: Path) -> None:
    """Release the reserved space, where there is any."""
    (folder / FILE).unlink(missing_ok=True)
