"""Names for runs in TensorBoard: experiment and what was overridden, where their folders have times and numbers."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.printable import print_line, printable
from copycat.records.reader import check_files, find_runs, read_checked_manifest
from copycat.records.trial_file import read_trial

EVENTS = "tensorboard"
LONGEST = 100
"""Letters of a name."""
LEFT_OUT = ("experiment", "output_dir", "sweep.folder", "data.root", "hydra")
"""Keys that say nothing in a name."""


class Named:
    """Links to the event files of runs, under names that tell them apart.

    TensorBoard calls a run by its path below the folder that it is given, and follows links.

    Args:
        root: of runs.
        names: an empty folder, for the links.
    """

    def __init__(self, root: Path, names: Path) -> None:
        self.root, self.names = root.absolute(), names
        self._known: dict[Path, str] = {}
        self._refused: set[Path] = set()

    @property
    def count(self) -> int:
        return len(self._known)

    def look(self) -> None:
        """Link what is new; event files that lead out of their folder are named on standard error, and left out."""
        for run in find_runs(self.root):
            events = run / EVENTS
            if run in self._known or run in self._refused or events.is_symlink() or not events.is_dir():
                continue
            try:
                check_files(events)
            except UserError as error:
                print_line(f"copycat: left out: {error}", error=True)
                self._refused.add(run)
                continue
            name = self._free(name_of(run, root=self.root))
            os.symlink(events, self.names / name, target_is_directory=True)
            self._known[run] = name

    def _free(self, name: str) -> str:
        taken = set(self._known.values())
        if name not in taken:
            return name
        return next(f"{name} ({place})" for place in range(2, len(taken) + 3) if f"{name} ({place})" not in taken)


def name_of(run: Path, *, root: Path, manifest: Mapping[str, Any] | None = None) -> str:
    """As `lecture optimizer.lr=0.01`; a trial below its own sweep as `trial 3 optimizer.lr=0.01`.

    Args:
        manifest: the run's, where it was read already.
    """
    try:
        asked = (manifest or read_checked_manifest(run))["request"]
    except (OSError, ValueError):
        return _safe(run.name)
    experiment, overrides = asked["experiment"], asked["overrides"]
    try:
        trial = read_trial(run)
    except (OSError, ValueError):
        shown = [word for word in overrides if not word.lstrip("+~").startswith(LEFT_OUT)]
        return _safe(" ".join([experiment, *shown]))
    varied = [f"{name}={printable(value)}" for name, value in trial.values.items()]
    words = [f"trial {trial.number}", *varied]
    # of all sweeps in a folder, each by when it began
    return _safe(" ".join(words if root == run.parent else [experiment, run.parent.name[:8], *words]))


def _safe(name: str) -> str:
    """As the name of a folder, which a path separator would part."""
    plain = re.sub(r"[^\w .,=+@()\[\]-]", "_", name).strip(" .") or "run"
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
