"""Names of runs in TensorBoard: experiment and overrides, instead of the folders' times and numbers."""

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
MAX_LENGTH = 100
"""Characters of a name, at most."""
IGNORED_KEYS = ("experiment", "output_dir", "sweep.folder", "data.root", "hydra")
"""Keys that do not help to tell runs apart."""


class RunLinks:
    """Link the event files of runs under unique names in an empty folder.

    TensorBoard calls a run by its path below the folder that it serves, and follows links.
    """

    def __init__(self, root: Path, names: Path) -> None:
        """Set the folders; `update` makes the links."""
        self.root, self.names = root.absolute(), names
        self._known: dict[Path, str] = {}
        self._refused: set[Path] = set()

    @property
    def count(self) -> int:
        """Return the number of linked runs."""
        return len(self._known)

    def update(self) -> None:
        """Link new runs; report those whose event files lead out of their folder on standard error, and skip them."""
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
            name = self._free(run_name(run, root=self.root))
            os.symlink(events, self.names / name, target_is_directory=True)
            self._known[run] = name

    def _free(self, name: str) -> str:
        used = set(self._known.values())
        if name not in used:
            return name
        return next(f"{name} ({number})" for number in range(2, len(used) + 3) if f"{name} ({number})" not in used)


def run_name(run: Path, *, root: Path, manifest: Mapping[str, Any] | None = None) -> str:
    """Name a run, as `lecture optimizer.lr=0.01`; a trial below its own sweep as `trial 3 optimizer.lr=0.01`."""
    try:
        request = (manifest or read_checked_manifest(run))["request"]
    except (OSError, ValueError):
        return _safe_file_name(run.name)
    experiment, overrides = request["experiment"], request["overrides"]
    try:
        trial = read_trial(run)
    except (OSError, ValueError):
        overrides_shown = [word for word in overrides if not word.lstrip("+~").startswith(IGNORED_KEYS)]
        return _safe_file_name(" ".join([experiment, *overrides_shown]))
    assignments = [f"{name}={printable(value)}" for name, value in trial.values.items()]
    words = [f"trial {trial.number}", *assignments]
    # sweeps in one folder are told apart by their start
    return _safe_file_name(" ".join(words if root == run.parent else [experiment, run.parent.name[:8], *words]))


def _safe_file_name(name: str) -> str:
    """Return a name that can be a folder's."""
    plain = re.sub(r"[^\w .,=+@()\[\]-]", "_", name).strip(" .") or "run"
    return plain if len(plain) <= MAX_LENGTH else f"{plain[: MAX_LENGTH - 1]}…"
